"""What follows from where the evidence stands: the verdict of each check, with its sentence.

Owns the order of the reasons. Must not change anything.

A check fails when the evidence of all checks together reaches 1/alpha and most of it is its own, or its own is enough.
It passes when the next step can be risked. What keeps it from either comes in this order: there is no traffic, both
versions fail, the version warms up, the evidence is suspicious, too little is known.

Units: rates from 0 to 1, seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.core import verdict as words
from controller.core.outage import Outage
from controller.core.verdict import Value, Verdict

#: Evidence that does not roll back, but stops promotion.
SUSPICIOUS: Final = 10.0

_ALONE: Final = "the old version gets no requests any more to compare with"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where everything stands at the end of a second; `old` and `new` are the numbers since the step began."""

    evidence: float
    needed: float
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    silence: str
    """Why there is no traffic to judge by; empty when there is."""
    outage: Outage | None
    warming: int
    """Seconds for which new instances still warm up."""
    share: float
    """The new version's share of the requests."""
    next_share: float | None
    """Its share in the next step; None when there is none."""
    rate: float
    """Requests a second of both versions together."""
    usual: float
    """The old version's usual error rate."""

    @property
    def odds(self) -> str:
        """The evidence in words."""
        return words.odds(self.evidence, self.needed)

    def verdict(self, check: str, value: Value, reason: str, **more: float | None) -> Verdict:
        """A verdict with all numbers."""
        numbers = {"evidence": self.evidence, "needed": self.needed, "new": self.new, "old": self.old, **more}
        return Verdict(check, value, reason, numbers)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the judge says after a second."""

    second: int
    evidence: float
    needed: float
    """The evidence that rolls back, 1/alpha."""
    verdicts: tuple[Verdict, ...]
    outage: Outage | None
    """Both versions fail: promotion and clocks should stand still."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """The evidence of each check by itself; those that roll back together give the mean of theirs, by their weights."""

    @property
    def odds(self) -> str:
        """The evidence in words."""
        return words.odds(self.evidence, self.needed)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The verdicts that say the new version is worse."""
        return tuple(verdict for verdict in self.verdicts if verdict.value == "FAIL")

    @property
    def may_advance(self) -> bool:
        """Whether every check passes."""
        return all(verdict.value == "PASS" for verdict in self.verdicts)


def condemned(evidence: float, needed: float, parts: Mapping[str, float]) -> tuple[str, ...]:
    """The checks that fail, by what each has contributed to the evidence."""
    if evidence < needed:
        return ()
    most = max(parts.values())
    return tuple(check for check, part in parts.items() if part >= needed or part == most)


def failed_errors(standing: Standing, check: str) -> Verdict:
    """The new version fails more often than it may."""
    return standing.verdict(check, "FAIL", f"{_failures(standing)}: {standing.odds}")


def failed_latency(standing: Standing, check: str, *, caches_are_filling: bool) -> Verdict:
    """The new version is slower than it may be, or its caches fill."""
    sentence = f"{_latencies(standing)}: {standing.odds}"
    if caches_are_filling:
        return standing.verdict(check, "INCONCLUSIVE", f"slow, but less and less so, as when caches fill; {sentence}")
    return standing.verdict(check, "FAIL", sentence)


def errors_so_far(standing: Standing, check: str, bound: float, limit: float | None) -> Verdict:
    """Whether the error rate allows the next step: at most `bound` more errors are sure, `limit` more may be."""
    value, reason = _undecided(standing) or _by_bound(standing, bound, limit)
    return standing.verdict(check, value, reason, bound=bound, limit=limit)


def latency_so_far(standing: Standing, check: str, *, is_refuted: bool, is_small: bool) -> Verdict:
    """Whether the latency allows the next step: being slower is refuted, or the step too small to matter."""
    value, reason = _undecided(standing) or _by_refutation(standing, is_refuted, is_small)
    return standing.verdict(check, value, reason)


def client_errors_found(standing: Standing, check: str) -> Verdict:
    """Whether the new version finds fault with more requests than it may. `standing` has the evidence of that alone."""
    sentence = _client_errors(standing)
    if standing.evidence >= standing.needed:
        return standing.verdict(check, "FAIL", f"{sentence}: {standing.odds}")
    value, reason = _undecided(standing) or ("PASS", sentence)
    return standing.verdict(check, value, reason)


def _undecided(standing: Standing) -> tuple[Value, str] | None:
    outage = standing.outage
    if standing.silence:
        return "NO_DATA", standing.silence
    if outage and not outage.new_is_better:
        return "INCONCLUSIVE", f"the old version fails as well, {words.percent(outage.error_rate)} of its requests"
    if standing.warming:
        return "INCONCLUSIVE", f"new instances warm up for another {standing.warming} s"
    if standing.evidence >= SUSPICIOUS:
        return "INCONCLUSIVE", f"suspicious: {standing.odds}"
    return ("PASS", _ALONE) if standing.share >= 1 else None


def _by_bound(standing: Standing, bound: float, limit: float | None) -> tuple[Value, str]:
    if limit is None:
        return "PASS", f"{_failures(standing)}; {standing.odds}"
    if limit >= 1:
        return "PASS", "the next step exposes so few requests that it needs no evidence"
    known = f"{_failures(standing)}, surely at most {words.points(bound)} more" if bound < 1 else _failures(standing)
    if bound <= limit:
        return "PASS", f"{known}; the next step may have {words.points(limit)}"
    return "INCONCLUSIVE", f"{known}; the next step needs at most {words.points(limit)} for sure"


def _by_refutation(standing: Standing, is_refuted: bool, is_small: bool) -> tuple[Value, str]:
    if is_refuted:
        return "PASS", _latencies(standing)
    if is_small:
        return "PASS", "the next step exposes so few requests that it needs no evidence"
    return "INCONCLUSIVE", f"not yet sure that it is not slower; {_latencies(standing)}"


def _failures(standing: Standing) -> str:
    new, old = standing.new, standing.old
    hung = f" and {new['unanswered']:,} hung" if new["unanswered"] else ""
    if new["requests"] and not old["requests"]:
        return f"{_share(new)} failed{hung}; of the old version, {words.percent(standing.usual)} usually do"
    return f"{_share(new)} failed{hung}, {_share(old)} of the old version"


def _client_errors(standing: Standing) -> str:
    new, old = (_share(numbers, "client_errors") for numbers in (standing.new, standing.old))
    return f"{new} were answered with 4xx, {old} of the old version"


def _share(numbers: Mapping[str, Any], what: str = "errors") -> str:
    requests, errors = numbers["requests"], numbers[what]
    return f"{errors:,} of {requests:,} requests ({words.percent(errors / requests if requests else 0.0)})"


def _latencies(standing: Standing) -> str:
    new, old = standing.new, standing.old
    if new["p50"] is None or old["p50"] is None:
        return "no latencies to compare"
    return (
        f"p50 {words.seconds(new['p50'])} against {words.seconds(old['p50'])}, "
        f"p99 {words.seconds(new['p99'])} against {words.seconds(old['p99'])}"
    )
