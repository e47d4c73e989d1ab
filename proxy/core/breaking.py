"""When a version fails so badly that it is taken out at once: the rule of the breaker.

Owns the count of a version's last attempts and the decision. Must not read counters or change weights.

An attempt that a client gave up says nothing and is not counted. Attempts come in samples, because counters are read
twenty times a second: within a sample, nobody knows which attempts failed. With that, for `window` and `fails`:

1. It trips when some of the newest samples together hold at most `window` attempts and at least `fails` failures: then
   at least `fails` of the last `window` attempts failed, for certain. So fewer than `window` attempts are enough.
2. Else it looks at the fewest newest samples that together hold `window` attempts or more, and trips when the share of
   failures in them is at least `fails / window`. A sample of a thousand requests is judged by its share: at such a
   rate, five failures among some twenty in a row happen to a good version too.
3. With one attempt per sample, it trips at exactly the first attempt that makes `fails` failures of the last `window`.
4. It does not trip unless the reference version is well over the same time: its share of failures is at most half that
   of the failing version. No attempts of the reference say nothing against it.
5. Beside a reference that has requests too (a rollout), a fault of both must not be blamed on one of them, however
   often one looks. There, of all that failed in the same time, it must be no chance that so many were the version's: at
   most `CHANCE` if requests are dealt by lot (Fisher's exact test). No attempts of the reference then mean that nobody
   can say. Where `window` attempts of the version are too few for that, twice, four times ... as many are looked at.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: Clearly below. With less distance, a fault of what both versions depend on would be blamed on one of them.
WELL_SHARE: Final = 0.5
#: Five failures of five beside 45 good ones are less probable, 5e-7. In a minute in which both versions fail alike, one
#: looks some thousand times.
CHANCE: Final = 1e-5
#: The most windows that are looked at together.
LONGEST: Final = 16


@dataclass(frozen=True, slots=True)
class Counts:
    """Attempts that ended, and how many of them were failures."""

    attempts: int = 0
    failures: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.attempts + other.attempts, self.failures + other.failures)

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.attempts - other.attempts, self.failures - other.failures)


@dataclass(frozen=True, slots=True)
class Trip:
    """Why a version is taken out."""

    version: Counts
    reference: Counts  # over the same time

    @property
    def reason(self) -> str:
        """The sentence for people: "5 of the last 20 requests failed"."""
        return f"{self.version.failures} of the last {self.version.attempts} requests failed"


class LastAttempts:
    """The newest samples of one version that together hold `window` attempts or more, beside those of the reference.

    `beside`: rule 5 holds.
    """

    def __init__(self, window: int, fails: int, *, beside: bool = False) -> None:
        self.window = window
        self.fails = fails
        self._beside = beside
        self._kept = window * (LONGEST if beside else 1)
        self._samples: deque[tuple[Counts, Counts]] = deque()
        self._attempts = 0
        self._silent = Counts()

    def add(self, version: Counts, reference: Counts) -> Trip | None:
        """Count what ended since the last call, and say whether the version has to go."""
        self._silent += reference
        if version.attempts <= 0:
            return None
        self._samples.append((version, self._silent))
        self._attempts += version.attempts
        self._silent = Counts()
        while self._attempts - self._samples[0][0].attempts >= self._kept:
            self._attempts -= self._samples.popleft()[0].attempts
        if not version.failures:
            return None
        return next(
            (trip for trip in self._candidates() if self._is_failing(trip.version) and self._is_its(trip)), None
        )

    def _candidates(self) -> Iterator[Trip]:
        """The newest samples: as many as fit into the window, those that fill it, and those that fill longer ones."""
        version, reference, wanted = Counts(), Counts(), self.window
        for of_version, of_reference in reversed(self._samples):
            before = Trip(version, reference)
            version, reference = version + of_version, reference + of_reference
            if version.attempts < wanted:
                continue
            if wanted == self.window < version.attempts:
                yield before
            yield Trip(version, reference)
            while wanted <= version.attempts:
                wanted *= 2
        if version.attempts < wanted:
            yield Trip(version, reference)

    def _is_failing(self, counts: Counts) -> bool:
        share_reached = counts.failures * self.window >= self.fails * counts.attempts
        return counts.failures >= self.fails and (counts.attempts <= self.window or share_reached)

    def _is_its(self, trip: Trip) -> bool:
        """Whether the failures are the version's own."""
        return is_well(trip) and (not self._beside or chance(trip) <= CHANCE)


def is_well(trip: Trip) -> bool:
    """Whether the reference fails clearly less often than the failing version."""
    version, reference = trip.version, trip.reference
    return reference.failures * version.attempts <= WELL_SHARE * version.failures * reference.attempts


def chance(trip: Trip) -> float:
    """The probability that so many of all failures, or more, are the version's, if both versions are alike.

    That is the tail of the hypergeometric distribution (Fisher's exact test). Every term is the one before it times a
    ratio that falls, so what is left out after the last one is less than a thousandth.
    """
    version, reference = trip.version, trip.reference
    failures, attempts = version.failures + reference.failures, version.attempts + reference.attempts
    most = min(failures, version.attempts)
    found = version.failures
    term = math.exp(
        _log_choose(version.attempts, found)
        + _log_choose(reference.attempts, failures - found)
        - _log_choose(attempts, failures)
    )
    total = 0.0
    while found <= most and term > total / 1000:
        total += term
        left = reference.attempts - failures + found + 1
        term *= (version.attempts - found) * (failures - found) / ((found + 1) * left)
        found += 1
    return min(total, 1.0)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
