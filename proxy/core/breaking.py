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
5. Beside a reference that has requests too (a rollout), more is asked for, as a good version would else be taken out by
   chance now and then: evidence of `SURE` : 1 that it fails by itself (`proxy.core.blame`), and that the failures among
   those attempts are more than a version that fails at `GROSS`, as a cold one may, has by chance (`CHANCE`). No
   attempts of the reference mean that nobody can say.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from proxy.core.attempts import Counts
from proxy.core.blame import Blame

#: Clearly below. With less distance, a fault of what both versions depend on would be blamed on one of them.
WELL_SHARE: Final = 0.5
SURE: Final = 500.0
GROSS: Final = 0.05
CHANCE: Final = 1e-3


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

    `blame`: rule 5 holds.
    """

    def __init__(self, window: int, fails: int, blame: Blame | None = None) -> None:
        self.window = window
        self.fails = fails
        self._blame = blame
        self._samples: deque[tuple[Counts, Counts]] = deque()
        self._attempts = 0
        self._silent = Counts()

    def add(self, version: Counts, reference: Counts, share: float = 0.0) -> Trip | None:
        """Count what ended since the last call, and say whether the version has to go.

        `share`: what the weights give to it, of what they give to both.
        """
        if self._blame is not None:
            self._blame.take(version, reference, share)
        self._silent += reference
        if version.attempts <= 0:
            return None
        self._samples.append((version, self._silent))
        self._attempts += version.attempts
        self._silent = Counts()
        while self._attempts - self._samples[0][0].attempts >= self.window:
            self._attempts -= self._samples.popleft()[0].attempts
        if not version.failures:
            return None
        return next(
            (trip for trip in self._candidates() if self._is_failing(trip.version) and self._is_its(trip)), None
        )

    def _candidates(self) -> Iterator[Trip]:
        """The newest samples: as many as fit into the window, and those that fill it."""
        version, reference = Counts(), Counts()
        for of_version, of_reference in reversed(self._samples):
            before = Trip(version, reference)
            version, reference = version + of_version, reference + of_reference
            if version.attempts > self.window:
                yield before
        yield Trip(version, reference)

    def _is_failing(self, counts: Counts) -> bool:
        share_reached = counts.failures * self.window >= self.fails * counts.attempts
        return counts.failures >= self.fails and (counts.attempts <= self.window or share_reached)

    def _is_its(self, trip: Trip) -> bool:
        """Whether the failures are the version's own."""
        if not is_well(trip):
            return False
        if self._blame is None:
            return True
        return trip.reference.attempts > 0 and self._blame.odds >= SURE and chance(trip.version, GROSS) <= CHANCE


def is_well(trip: Trip) -> bool:
    """Whether the reference fails clearly less often than the failing version."""
    version, reference = trip.version, trip.reference
    return reference.failures * version.attempts <= WELL_SHARE * version.failures * reference.attempts


def chance(counts: Counts, rate: float) -> float:
    """The probability of so many failures or more, when each attempt fails at a rate that is below that share of them.

    That is the tail of the binomial distribution. Every term is the one before it times a ratio that falls, so what is
    left out after the last one is less than a thousandth.
    """
    attempts, found = counts.attempts, counts.failures
    term = math.exp(
        math.lgamma(attempts + 1)
        - math.lgamma(found + 1)
        - math.lgamma(attempts - found + 1)
        + found * math.log(rate)
        + (attempts - found) * math.log1p(-rate)
    )
    total = 0.0
    while found <= attempts and term > total / 1000:
        total += term
        term *= (attempts - found) / (found + 1) * rate / (1 - rate)
        found += 1
    return min(total, 1.0)
