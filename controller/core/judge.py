"""The judge of one rollout: takes what both versions did, second by second, and says what each check finds.

Owns the order in which the parts see a second, and how their evidence adds up. Must not know of steps beyond their
shares, or of what follows from a verdict.

1. Evidence of all kinds that roll back is averaged with fixed weights, E = sum of w_i E_i. However the kinds depend on
   each other, a good version reaches 1/alpha with a probability of at most alpha, in the whole rollout and at however
   many looks. What only holds, the answers of 4xx and the share of the requests, has evidence of its own.
2. Every part that bets sees a second before what it bets on learns from it.
3. A check that has failed stays failed.
4. Seconds come in order, each once, when their buckets are closed; one in which nothing arrived is two empty buckets.
   What could not be observed is left out: it says nothing. A new revision gets a new judge.
5. When the new version has everything, and no second of the old one's past is left to compare with, the new one is held
   against the highest error rate that the old one can have had. That this is too low has a chance of `DOUBT` times
   alpha, on top of alpha.

Units: seconds of the clock that the buckets were counted by; rates and shares from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from controller.core.baseline import Baseline
from controller.core.buckets import Bucket, bin_of
from controller.core.bursts import BAD_SECONDS_OF_A_FLAKY_VERSION, Guard, bad_seconds_for, bound, dispersion
from controller.core.comparisons import COLD_ERRORS, ClientErrorComparison, ErrorComparison, LatencyComparison, Moment
from controller.core.exposure import Exposure
from controller.core.gathering import Gathering
from controller.core.judgement import Judgement, Standing, condemned
from controller.core.outage import OutageWatch
from controller.core.plain import Plain, Stateful
from controller.core.terms import Terms
from controller.core.traffic import WINDOW, RecentTraffic, Tally
from controller.core.verdict import Verdict
from controller.core.warmup import WarmUp

DOUBT: Final = 0.1
_EXPECTED: Final = 10.0  # requests; a version that gets none instead is not being sent any


class Judge(Stateful):
    """Judges one new version against an old one, on given terms."""

    STATE = (
        *("_errors", "_latency", "_client_errors", "_exposure", "_baseline", "_gathering", "_watch", "_warm_up"),
        *("_recent", "_old", "_new", "_share", "_next_share", "_is_raised", "_last", "_spread"),
        *("_highest", "_remembered"),
    )

    def __init__(self, terms: Terms, before: Iterable[tuple[int, Bucket]] = ()) -> None:
        """Begin, with the seconds of the old version from before the rollout, in order."""
        before = list(before)
        self._spread = dispersion([_settled(bucket, terms) for _, bucket in before])
        bad_seconds = bad_seconds_for(self._spread) if terms.bad_seconds is None else terms.bad_seconds
        #: With the number of bad seconds decided.
        self.terms = replace(terms, bad_seconds=bad_seconds)
        self._needed = 1 / terms.alpha
        guard, cold_guard = (bound(terms.alpha, bad_seconds, weight) for weight in (1.0, COLD_ERRORS))
        self._errors = ErrorComparison(terms.errors, guard, cold_guard) if terms.errors else None
        self._latency = LatencyComparison(terms.latency, bin_of(terms.patience), guard) if terms.latency else None
        often = Guard(terms.alpha, BAD_SECONDS_OF_A_FLAKY_VERSION)  # one odd client comes with many requests
        self._client_errors = ClientErrorComparison(terms.client_errors, often) if terms.client_errors else None
        self._exposure = Exposure(terms.patience)
        self._baseline = Baseline()
        self._recent = RecentTraffic()
        self._remembered: int | None = None
        for second, bucket in before:
            self.remember(second, bucket)
        self._gathering = Gathering()
        self._watch = OutageWatch()
        self._warm_up = WarmUp(terms.warm_up)
        self._old, self._new = Tally(), Tally()
        self._share = 0.0
        self._next_share: float | None = None
        self._is_raised = False
        self._last: int | None = None
        #: Of the error rates that the old version can have had, from when on it has nothing to compare with.
        self._highest: float | None = None
        self._failed: dict[str, Verdict] = {}

    @property
    def last(self) -> int | None:
        """The last second that was taken, None before the first."""
        return self._last

    def begin_step(self, share: float, next_share: float | None) -> None:
        """The new version has this share from now on, and would get the next one then; None: nothing comes then."""
        self._is_raised = self._is_raised or share > self._share
        self._share, self._next_share, self._highest = share, next_share, None
        self._exposure.begin_step(share)
        self._old, self._new = Tally(), Tally()
        for comparison in (self._errors, self._latency):
            if comparison:
                comparison.begin_step()

    def warm_up_again(self) -> None:
        """The new version has another new instance."""
        self._warm_up.begin_again()

    def remember(self, second: int, old: Bucket) -> None:
        """Take a second of the old version from before the rollout; nothing, when it was taken already."""
        if self._remembered is not None and second <= self._remembered:
            return
        self._remembered = second
        old = _settled(old, self.terms)
        self._baseline.learn(old)
        self._recent.update(second, old.requests, 0)

    def take(self, second: int, old: Bucket, new: Bucket, *, is_past: bool = False) -> Judgement:
        """Take the closed buckets of a second; `is_past`: that of the old version is from its past, and known.

        Raises:
            ValueError: the second is not after the last one.
        """
        if self._last is not None and second <= self._last:
            raise ValueError(f"second {second} comes after second {self._last} was taken; take each once, in order")
        self._last = second
        if self._is_raised:
            self._watch.note_increase(second)
            self._is_raised = False
        old, new = _settled(old, self.terms), _settled(new, self.terms)
        stands_still = self._stands_still(second)
        self._warm_up.tick(second, has_requests=new.requests > 0, stands_still=stands_still)
        together = self._gathering.put(old, new)
        if together:
            self._compare(
                Moment(
                    second,
                    *together,
                    self._baseline,
                    expected=self._watch.expected(self._baseline.error_rate),
                    highest=self._highest_of_old(together[0]),
                    is_warming=self._warm_up.left(second) > 0,
                    stands_still=stands_still,
                )
            )
        self._watch.update(second, new.requests, new.errors, old.requests, old.errors, self._baseline.error_rate)
        if self._watch.outage(second) is None and not is_past:
            self._baseline.learn(old)
        self._recent.update(second, old.requests, new.requests)
        self._exposure.update(second, old, new)
        self._old.update(old)
        self._new.update(new)
        return self._judgement(second)

    def to_plain(self) -> Plain:
        """The judge as plain values."""
        failed = {check: asdict(verdict) for check, verdict in self._failed.items()}
        return {"terms": self.terms.to_plain(), "failed": failed, **super().to_plain()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Judge:
        """The judge that `to_plain` gave.

        Raises:
            KeyError: some of it is missing.
        """
        judge = cls(Terms.from_plain(plain["terms"]))
        judge.restore(plain)
        judge._failed = {check: Verdict(**verdict) for check, verdict in plain["failed"].items()}
        return judge

    def _stands_still(self, second: int) -> bool:
        """Whether both versions fail. A new version that is the better one has to get on."""
        outage = self._watch.outage(second)
        return outage is not None and not outage.new_is_better

    def _highest_of_old(self, old: Bucket) -> float | None:
        """See rule 5. It is fixed when it is needed first."""
        if old.requests or self._share < 1:
            return None
        if self._highest is None:
            self._highest = self._baseline.highest(DOUBT * self.terms.alpha, self._spread)
        return self._highest

    def _compare(self, moment: Moment) -> None:
        if self._errors:
            self._errors.update(moment)
        if self._latency:
            self._latency.update(moment, self._next_share)
        if self._client_errors:
            self._client_errors.update(moment)

    def _judgement(self, second: int) -> Judgement:
        comparisons = [comparison for comparison in (self._errors, self._latency) if comparison]
        total = sum(comparison.weight for comparison in comparisons)
        parts = {comparison.check: comparison.evidence / total for comparison in comparisons}
        evidence = sum(parts.values()) if parts else 1.0
        standing = self._standing(second, evidence)
        bad = condemned(evidence, self._needed, parts)
        verdicts = []
        for comparison in comparisons:
            check = comparison.check
            verdicts.append(self._failed.get(check) or comparison.verdict(standing, is_bad=check in bad))
        if self._client_errors:
            verdicts.append(self._failed.get(self._client_errors.check) or self._client_errors.verdict(standing))
        self._failed |= {verdict.check: verdict for verdict in verdicts if verdict.value == "FAIL"}
        if mismatch := self._exposure.verdict:
            verdicts.append(mismatch)
        alone = {comparison.check: comparison.evidence / comparison.weight for comparison in comparisons}
        if self._client_errors:
            alone[self._client_errors.check] = self._client_errors.evidence
        return Judgement(second, evidence, self._needed, tuple(verdicts), standing.outage, alone)

    def _standing(self, second: int, evidence: float) -> Standing:
        recent = self._recent
        return Standing(
            evidence=evidence,
            needed=self._needed,
            old=self._old.numbers(),
            new=self._new.numbers(),
            silence=self._silence(),
            outage=self._watch.outage(second),
            warming=self._warm_up.left(second),
            share=self._share,
            next_share=self._next_share,
            rate=recent.rate,
            usual=self._baseline.error_rate,
        )

    def _silence(self) -> str:
        """Why there is no traffic to judge by; empty when there is."""
        recent, expected = self._recent, self._share * (self._recent.old + self._recent.new)
        if not recent.old + recent.new:
            return f"no requests in the last {WINDOW} s; send some, or wait"
        if not recent.new and expected >= _EXPECTED:
            return f"the new version got none of the last {recent.old:,} requests, and should have got {expected:,.0f}"
        if not recent.old and self._share < 1:
            return f"the old version got no requests in the last {WINDOW} s to compare with"
        return ""


def _settled(bucket: Bucket, terms: Terms) -> Bucket:
    """The bucket with hung requests counted as errors, where they are not counted as slow."""
    if terms.latency or not bucket.unanswered:
        return bucket
    return replace(bucket, errors=bucket.errors + bucket.unanswered, unanswered=0)
