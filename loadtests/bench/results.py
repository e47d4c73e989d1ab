"""The numbers and what is computed from them.

Owns: the arithmetic of ratios and goals. Must not: measure, print, or read a clock.
Units: nanoseconds of processor time, seconds of wall time; a ratio is ours divided by the peer's, below 1 is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from loadtests.bench.builds import Build
from loadtests.bench.work import Work


@dataclass(frozen=True, slots=True)
class Measurement:
    """One proxy under load for a while."""

    cpu_ns: int
    requests: int
    seconds: float

    @property
    def ns_per_request(self) -> float:
        """Processor time for one request."""
        return self.cpu_ns / self.requests

    @property
    def requests_per_second(self) -> float:
        """Throughput: a side value, since it depends on what else the machine does."""
        return self.requests / self.seconds

    @property
    def busy(self) -> float:
        """The part of its core that the proxy used; well below 1 the load, not the proxy, was the limit."""
        return self.cpu_ns / (self.seconds * 1e9)


@dataclass(frozen=True, slots=True)
class Pair:
    """Ours and a peer, measured one right after the other."""

    ours: Measurement
    peer: Measurement

    @property
    def ratio(self) -> float:
        """Our processor time divided by the peer's."""
        return self.ours.ns_per_request / self.peer.ns_per_request


@dataclass(frozen=True, slots=True)
class Comparison:
    """All pairs of ours and one peer. `goal` is the greatest ratio wanted; None: it is only looked at."""

    name: str
    title: str
    build: Build
    pairs: Sequence[Pair]
    goal: float | None

    @property
    def ours(self) -> list[Measurement]:
        """Our measurements in the order they were made."""
        return [pair.ours for pair in self.pairs]

    @property
    def peers(self) -> list[Measurement]:
        """The peer's measurements in the order they were made."""
        return [pair.peer for pair in self.pairs]

    @property
    def ratios(self) -> list[float]:
        """The ratio of each pair."""
        return [pair.ratio for pair in self.pairs]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def is_goal_met(self) -> bool | None:
        """Whether the median ratio is within the goal; None without one."""
        return None if self.goal is None else self.ratio <= self.goal


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one run of the benchmark found out about one work."""

    work: Work
    surroundings: dict[str, str]
    ours_title: str
    ours_build: Build
    comparisons: Sequence[Comparison]
    missing: dict[str, str]  # peers that are not there → why
    invalid: dict[str, str]  # peers whose measurement failed → why


def median_ns(measurements: Sequence[Measurement]) -> float:
    """The median processor time per request."""
    return median(each.ns_per_request for each in measurements)


def median_rate(measurements: Sequence[Measurement]) -> float:
    """The median of the requests per second."""
    return median(each.requests_per_second for each in measurements)


def median_busy(measurements: Sequence[Measurement]) -> float:
    """The median of the part of its core that the proxy used."""
    return median(each.busy for each in measurements)


def as_json(report: Report) -> dict[str, Any]:
    """The report as values that JSON can hold; numbers are not rounded."""
    return {
        "work": {"name": report.work.name, "title": report.work.title, "connections": report.work.connections},
        "surroundings": report.surroundings,
        "ours": {"title": report.ours_title, **_build(report.ours_build)},
        "comparisons": [_comparison(each) for each in report.comparisons],
        "missing": report.missing,
        "invalid": report.invalid,
    }


def _build(build: Build) -> dict[str, str]:
    return {"version": build.version, "origin": build.origin}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "name": comparison.name,
        "title": comparison.title,
        **_build(comparison.build),
        "ours": _measurements(comparison.ours),
        "peer": _measurements(comparison.peers),
        "ratios": comparison.ratios,
        "ratio": comparison.ratio,
        "goal": comparison.goal,
        "is_goal_met": comparison.is_goal_met,
    }


def _measurements(measurements: Sequence[Measurement]) -> dict[str, Any]:
    return {
        "median_ns_per_request": median_ns(measurements),
        "median_requests_per_second": median_rate(measurements),
        "ns_per_request": [each.ns_per_request for each in measurements],
        "requests": [each.requests for each in measurements],
        "busy": [each.busy for each in measurements],
    }
