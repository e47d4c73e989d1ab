"""What the controller counts of itself, for Prometheus.

Owns the names. Must not count requests of services: the proxies do.

Label values come from the configuration or a closed list, never from a request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.conductor import Conductor
from controller.core.book import Happened
from controller.core.model import PHASES
from controller.core.strategy import strategy_of

_LABELS: Final = ("service", "strategy")


class ControllerCollector(Collector):
    """Reads the book and the journal when it is asked."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def describe(self) -> list[Metric]:
        """Nothing: the names are known when something is collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        yield from self._rollouts()
        yield self._events()
        yield self._proxies()
        yield GaugeMetricFamily(
            "serinus_controller_line_stopped",
            "1 while nothing may move forward.",
            float(bool(self._conductor.book.line)),
        )
        yield GaugeMetricFamily(
            "serinus_controller_journal_failing",
            "1 while the journal cannot be written.",
            float(bool(self._conductor.trouble)),
        )
        build = GaugeMetricFamily("serinus_controller_build_info", "The version.", labels=("version",))
        build.add_metric((version("serinus"),), 1.0)
        yield build

    def _rollouts(self) -> Iterator[Metric]:
        """The newest rollout of each service: its phase, and the share that is wanted for its new version."""
        phases = GaugeMetricFamily(
            "serinus_rollout_phase", "1 for the phase of a service's newest rollout.", labels=(*_LABELS, "phase")
        )
        shares = GaugeMetricFamily(
            "serinus_rollout_wanted_ratio", "The share that is wanted for the new version.", labels=_LABELS
        )
        newest = {rollout.service: rollout for rollout in self._conductor.book.rollouts.values()}
        for service, rollout in newest.items():
            labels = service, rollout.policy.strategy
            shares.add_metric(labels, strategy_of(rollout.policy).split(rollout).share(rollout.new))
            for phase in PHASES:
                phases.add_metric((*labels, phase), float(phase == rollout.phase))
        yield phases
        yield shares

    def _events(self) -> Metric:
        events = CounterMetricFamily(
            "serinus_rollout_events",
            "What has happened to rollouts that the journal knows.",
            labels=("service", "event"),
        )
        rollouts = self._conductor.book.rollouts
        happened = Counter(
            (rollouts[record.entry.rollout].service, record.entry.event.kind)
            for record in self._conductor.journal.records
            if isinstance(record.entry, Happened)
        )
        for labels, count in sorted(happened.items()):
            events.add_metric(labels, count)
        return events

    def _proxies(self) -> Metric:
        """By what the newest decisions have seen."""
        answers = GaugeMetricFamily("serinus_controller_proxy_answers", "1 while a proxy answers.", labels=("proxy",))
        lost = {name for loop in self._conductor.loops for name in (loop.decision.seen.lost if loop.decision else ())}
        for name in self._conductor.tools.proxies:
            answers.add_metric((name,), float(name not in lost))
        return answers
