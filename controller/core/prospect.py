"""The evidence against one kind of bad version, as it is to be expected over a whole rollout.

Owns which bets there are, when each begins, and what it needs. Must not know of policies or words.

1. A bet needs so much that it alone makes the evidence of all kinds 1/alpha: log(1/(alpha w prior start)), with the
   weight w of its kind, its prior among the bets, and the part of the money that its start gets. Several bets that gain
   together need a little less, so what is said here is rather too late than too early.
2. While new instances warm up, only the bets on gross failure take part; those on small ones begin afterwards.
3. A version that becomes bad later is found by money that was kept for later, or by what the first bets have left.
4. No fewer than `BAD_SECONDS` buckets can be enough.

Units: seconds since the first step began, requests per second, rates from 0 to 1, logarithms natural.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from controller.core.buckets import bin_of
from controller.core.bursts import BAD_SECONDS, Guard
from controller.core.comparisons import COLD_ERRORS, ERRORS, LATENCY, LIMIT
from controller.core.errors import GAPS, PRIOR
from controller.core.gathering import ENOUGH, LONGEST
from controller.core.growth import Cumulants, Requests, Sums, of_errors, of_latencies
from controller.core.mixture import FROM_THE_START, SPACING
from controller.core.passage import chance_of
from controller.core.slowness import SLOPES, STEPS
from controller.core.terms import Terms
from controller.core.warmup import ALLOWANCE, GROSS_GAPS, GROSS_PRIOR

#: From the end of a second until it is closed and decided on.
CLOSING: Final = 2.0
_LOWEST_RATE: Final = 1e-5
_HALVINGS: Final = 16


_Guarded = tuple[float, int, float]
"""What a guard is made of."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some time in which the traffic is dealt in one way. `warms` while only gross failures count."""

    begin: float
    end: float
    new: float
    """Requests per second of the new version."""
    old: float
    warms: bool = False
    is_bad: bool = True

    @property
    def bucket(self) -> float:
        """How many seconds are looked at together."""
        return min(max(math.ceil(ENOUGH / max(self.new + self.old, 1e-9)), 1), LONGEST)

    @property
    def requests(self) -> Requests:
        """What a bucket holds."""
        return Requests(self.new * self.bucket, self.old * self.bucket)


@dataclass(frozen=True, slots=True)
class Badness:
    """What the old version usually does, and what is wrong with the new one."""

    usual: float
    errors: float
    latencies: dict[int, int]
    slower_by: int = 0
    """Bins."""


@dataclass(frozen=True, slots=True)
class _Bets:
    """The bets of one kind that begin together: what each needs, and what it gains in a bucket of a stretch."""

    needed: Sequence[float]
    gains: Callable[[Stretch], Sums]
    begins: float
    in_warm_up: bool = False


class Prospect:
    """The chance that a bad version has been found by some time."""

    def __init__(self, terms: Terms, badness: Badness, stretches: Sequence[Stretch], bad_from: float = 0.0) -> None:
        self._stretches = list(_cut(stretches, bad_from))
        self._kinds = list(_bets_of(terms, badness, self._stretches, bad_from))

    def chance(self, time: float) -> float:
        """The chance that it is rolled back at this time, or was before."""
        return max((self._chance(bets, time - CLOSING) for bets in self._kinds), default=0.0)

    def time(self, chance: float) -> float | None:
        """When it has been rolled back with this chance; None when not before the end."""
        end = self._stretches[-1].end if self._stretches else 0.0
        found = self._first_end(chance)
        if found is None:
            return None
        low, high = found
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.chance(middle) >= chance else (middle, high)
        return min(high, end + CLOSING)

    def _first_end(self, chance: float) -> tuple[float, float] | None:
        """The stretch in which the chance is reached. Gross failures may be found in the middle of it."""
        for stretch in self._stretches:
            if self.chance(stretch.end + CLOSING) >= chance:
                return stretch.begin, stretch.end + CLOSING
        return None

    def _chance(self, bets: _Bets, time: float) -> float:
        totals = [Cumulants()] * len(bets.needed)
        buckets = best = 0.0
        for stretch in self._stretches:
            if stretch.begin >= time or stretch.warms != bets.in_warm_up or stretch.end <= bets.begins:
                continue
            number = (min(time, stretch.end) - max(stretch.begin, bets.begins)) / stretch.bucket
            buckets += number
            totals = [total + gain.times(number) for total, gain in zip(totals, bets.gains(stretch), strict=True)]
            if buckets >= BAD_SECONDS:
                here = (chance_of(total, needed) for total, needed in zip(totals, bets.needed, strict=True))
                best = max(best, *here)  # what has been reached once is not lost in a weaker stretch
        return best


def _cut(stretches: Sequence[Stretch], bad_from: float) -> Iterator[Stretch]:
    """The stretches, cut where the version becomes bad; what takes no time is left out."""
    for stretch in stretches:
        middle = min(max(bad_from, stretch.begin), stretch.end)
        for part in (replace(stretch, end=middle, is_bad=False), replace(stretch, begin=middle)):
            if part.end > part.begin:
                yield part


def _bets_of(terms: Terms, badness: Badness, stretches: Sequence[Stretch], bad_from: float) -> Iterator[_Bets]:
    total = (ERRORS + COLD_ERRORS + (LIMIT if terms.errors.limit < 1 else 0.0) if terms.errors else 0.0) + (
        LATENCY if terms.latency else 0.0
    )
    after = next((stretch.begin for stretch in stretches if not stretch.warms), 0.0)
    bad_seconds = terms.bad_seconds or BAD_SECONDS
    guard, cold_guard = ((terms.alpha, bad_seconds, weight) for weight in (1.0, COLD_ERRORS))

    def needed(weight: float, prior: Sequence[float], start: float) -> list[float]:
        return [math.log(total / (terms.alpha * weight * each * start)) for each in prior]

    def at_starts(weight: float, prior: Sequence[float], gains: Callable[[Stretch], Sums]) -> Iterator[_Bets]:
        yield _Bets(needed(weight, prior, FROM_THE_START), gains, after)
        later = math.ceil(max(bad_from - after, 0.0) / SPACING)
        if later:
            kept = (1 - FROM_THE_START) / (later * (later + 1))
            yield _Bets(needed(weight, prior, kept), gains, after + later * SPACING)

    if terms.errors and badness.errors:
        ratio, points = terms.errors.ratio, terms.errors.points
        usual = max(badness.usual, _LOWEST_RATE)
        gains = _errors(badness, usual, (ratio, points), guard, GAPS)
        yield from at_starts(ERRORS, PRIOR, gains)
        cold = _errors(badness, usual, (ratio, max(points, ALLOWANCE)), cold_guard, GROSS_GAPS)
        yield _Bets(needed(COLD_ERRORS, GROSS_PRIOR, FROM_THE_START), cold, 0.0, in_warm_up=True)
    if terms.latency and badness.slower_by and badness.latencies:
        prior = (1 / (len(SLOPES) + len(STEPS)),) * len(SLOPES)
        yield from at_starts(
            LATENCY, prior, _latencies(badness, terms.latency.shift, bin_of(terms.patience), Guard(*guard))
        )


def _errors(
    badness: Badness, usual: float, margin: tuple[float, float], guarded: _Guarded, gaps: tuple[float, ...]
) -> Callable[[Stretch], Sums]:
    def gains(stretch: Stretch) -> Sums:
        bad = badness.errors if stretch.is_bad else badness.usual
        return _error_sums(stretch.requests, bad, usual, margin, guarded, gaps)

    return gains


@functools.lru_cache(maxsize=1024)
def _error_sums(
    requests: Requests,
    bad: float,
    usual: float,
    margin: tuple[float, float],
    guarded: _Guarded,
    gaps: tuple[float, ...],
) -> Sums:
    return of_errors(requests, bad, usual, margin, Guard(*guarded), gaps)


def _latencies(badness: Badness, shift: int, top: int, guard: Guard) -> Callable[[Stretch], Sums]:
    known: dict[tuple[Requests, bool], Sums] = {}

    def gains(stretch: Stretch) -> Sums:
        key = stretch.requests, stretch.is_bad
        if key not in known:
            slower_by = badness.slower_by if stretch.is_bad else 0
            known[key] = of_latencies(stretch.requests, badness.latencies, slower_by, shift, top, guard)
        return known[key]

    return gains
