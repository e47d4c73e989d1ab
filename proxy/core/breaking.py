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
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

#: Clearly below. With less distance, a fault of what both versions depend on would be blamed on one of them.
WELL_SHARE: Final = 0.5


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
    """The newest samples of one version that together hold `window` attempts or more, beside those of the reference."""

    def __init__(self, window: int, fails: int) -> None:
        self.window = window
        self.fails = fails
        self._samples: deque[tuple[Counts, Counts]] = deque()
        self._version = Counts()
        self._reference = Counts()
        self._silent = Counts()

    def add(self, version: Counts, reference: Counts) -> Trip | None:
        """Count what ended since the last call, and say whether the version has to go."""
        self._silent += reference
        if version.attempts <= 0:
            return None
        self._samples.append((version, self._silent))
        self._version += version
        self._reference += self._silent
        self._silent = Counts()
        while self._version.attempts - self._samples[0][0].attempts >= self.window:
            oldest_version, oldest_reference = self._samples.popleft()
            self._version -= oldest_version
            self._reference -= oldest_reference
        return self._verdict() if version.failures else None

    def _verdict(self) -> Trip | None:
        candidates = [Trip(self._version, self._reference)]
        if self._version.attempts > self.window:
            oldest_version, oldest_reference = self._samples[0]
            candidates.append(Trip(self._version - oldest_version, self._reference - oldest_reference))
        return next((trip for trip in candidates if self._is_failing(trip.version) and is_well(trip)), None)

    def _is_failing(self, counts: Counts) -> bool:
        share_reached = counts.failures * self.window >= self.fails * counts.attempts
        return counts.failures >= self.fails and (counts.attempts <= self.window or share_reached)


def is_well(trip: Trip) -> bool:
    """Whether the reference fails clearly less often than the failing version."""
    version, reference = trip.version, trip.reference
    return reference.failures * version.attempts <= WELL_SHARE * version.failures * reference.attempts
