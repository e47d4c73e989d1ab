"""The comparisons of the new version with the old one: how often they fail, are slow, and answer 4xx.

Owns what belongs together of each: its evidence, its bound for the next step, its verdict. Must not know how evidence
of several kinds adds up.

1. While new instances warm up, only the evidence of errors takes part that are beyond what is allowed to them.
2. While both versions fail, nothing counts for the next step.
3. A request without an answer is no error for the evidence of harm, where latency is judged: there it is slow. For the
   next step it is as bad as one, on both sides.
4. Answers of 4xx are judged apart, by evidence of their own that rolls back nothing: clients err too, and together.
5. Without any request of the old version, latencies cannot be judged. Then a request without an answer is as bad as an
   error too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from controller.core.baseline import Baseline
from controller.core.buckets import Bucket
from controller.core.bursts import Bound
from controller.core.caches import SMALL_SHARE
from controller.core.errors import ErrorEvidence
from controller.core.judgement import (
    Standing,
    client_errors_found,
    errors_so_far,
    failed_errors,
    failed_latency,
    latency_so_far,
)
from controller.core.latency import LatencyEvidence
from controller.core.plain import Stateful
from controller.core.promotion import MAJORITY, ErrorBound, LatencyBound, is_small, limit_for, shift_asked
from controller.core.slo import LimitEvidence
from controller.core.terms import ClientErrorTerms, ErrorTerms, LatencyTerms
from controller.core.verdict import Verdict
from controller.core.warmup import ALLOWANCE, GROSS_GAPS, GROSS_PRIOR

#: The weights of evidence of each kind, relative to the sum of those that are there.
ERRORS: Final = 0.60
COLD_ERRORS: Final = 0.10
LIMIT: Final = 0.10
LATENCY: Final = 0.30

_LEAST_LIMIT: Final = 1e-6  # "never" is not testable: the first error would be infinite evidence


@dataclass(frozen=True, slots=True)
class Moment:
    """One closed second: what both versions did in it, and what was known before."""

    second: int
    old: Bucket
    new: Bucket
    baseline: Baseline
    expected: float
    """The error rate to expect of the old version."""
    highest: float | None
    """The highest error rate that the old version can have had, where it has nothing to compare with any more."""
    is_warming: bool
    stands_still: bool


class ErrorComparison(Stateful):
    """The error rate of the new version against the old one's, and against its limit."""

    STATE = ("_evidence", "_cold", "_limit", "_bound")

    def __init__(self, terms: ErrorTerms, guard: Bound, cold_guard: Bound) -> None:
        ratio, points = terms.ratio, terms.points
        self.check = terms.check
        self._ratio, self._points = ratio, points
        self._evidence = ErrorEvidence(ratio, points, guard)
        self._cold = ErrorEvidence(ratio, max(points, ALLOWANCE), cold_guard, GROSS_GAPS, GROSS_PRIOR)
        self._limit = LimitEvidence(max(terms.limit, _LEAST_LIMIT), guard) if terms.limit < 1 else None
        self._bound = ErrorBound(points)
        self.weight = ERRORS + COLD_ERRORS + (LIMIT if self._limit else 0.0)

    @property
    def evidence(self) -> float:
        """The evidence, weighted."""
        limit = LIMIT * self._limit.value if self._limit else 0.0
        return ERRORS * self._evidence.value + COLD_ERRORS * self._cold.value + limit

    def begin_step(self) -> None:
        """What was known for the last step does not count for this one."""
        self._bound.reset()

    def update(self, moment: Moment) -> None:
        """Take a second."""
        old, new, expected = moment.old, moment.new, moment.expected
        evidence = self._cold if moment.is_warming else self._evidence
        if moment.highest is None:
            evidence.update(moment.second, new.requests, new.errors, old.requests, old.errors, expected)
        else:
            evidence.update_alone(moment.second, new.requests, new.errors + new.unanswered, moment.highest)
        if moment.is_warming:
            return
        if self._limit:
            self._limit.update(moment.second, new.requests, new.errors)
        if not moment.stands_still:
            bad_new, bad_old = new.errors + new.unanswered, old.errors + old.unanswered
            self._bound.update(new.requests, bad_new, old.requests, bad_old, expected)

    def verdict(self, standing: Standing, *, is_bad: bool) -> Verdict:
        """What is found; `is_bad` when the evidence condemns it."""
        if is_bad:
            return failed_errors(standing, self.check)
        ahead = standing.next_share
        margin = (self._ratio - 1) * standing.usual + self._points
        limit = None if ahead is None else limit_for(margin, standing.rate, ahead)
        return errors_so_far(standing, self.check, self._bound.bound, limit)


class LatencyComparison(Stateful):
    """The latency of the new version against the old one's."""

    STATE = ("_evidence", "_early", "_late")

    def __init__(self, terms: LatencyTerms, top: int, guard: Bound) -> None:
        self.check = terms.check
        self.weight = LATENCY
        self._evidence = LatencyEvidence(terms.shift, top, guard)
        self._early = LatencyBound(shift_asked(terms.shift, 0.0), top)
        self._late = LatencyBound(shift_asked(terms.shift, 1.0), top)

    @property
    def evidence(self) -> float:
        """The evidence, weighted."""
        return LATENCY * self._evidence.value

    def begin_step(self) -> None:
        """What was known for the last step does not count for this one."""
        self._early.reset()
        self._late.reset()

    def update(self, moment: Moment, next_share: float | None) -> None:
        """Take a second, with the share that is next."""
        if moment.is_warming:
            return
        self._evidence.update(moment.second, moment.new, moment.old, moment.baseline)
        if not moment.stands_still and next_share is not None:
            self._bound(next_share).update(moment.new, moment.old, moment.baseline)

    def verdict(self, standing: Standing, *, is_bad: bool) -> Verdict:
        """What is found; `is_bad` when the evidence condemns it."""
        if is_bad:
            filling = standing.share < SMALL_SHARE and self._evidence.caches_are_filling
            return failed_latency(standing, self.check, caches_are_filling=filling)
        ahead = standing.next_share
        return latency_so_far(
            standing,
            self.check,
            is_refuted=ahead is None or self._bound(ahead).reached,
            is_small=ahead is None or is_small(standing.rate, ahead),
        )

    def _bound(self, next_share: float) -> LatencyBound:
        return self._late if next_share > MAJORITY else self._early


class ClientErrorComparison(Stateful):
    """The share of 4xx of the new version against the old one's."""

    STATE = ("_evidence",)

    def __init__(self, terms: ClientErrorTerms, guard: Bound) -> None:
        self.check = terms.check
        self._evidence = ErrorEvidence(terms.ratio, terms.points, guard)

    @property
    def evidence(self) -> float:
        """The evidence, which counts for this check alone."""
        return self._evidence.value

    def update(self, moment: Moment) -> None:
        """Take a second."""
        if not moment.is_warming:
            old, new, usual = moment.old, moment.new, moment.baseline.client_error_rate
            self._evidence.update(
                moment.second, new.requests, new.client_errors, old.requests, old.client_errors, usual
            )

    def verdict(self, standing: Standing) -> Verdict:
        """What is found."""
        return client_errors_found(replace(standing, evidence=self.evidence), self.check)
