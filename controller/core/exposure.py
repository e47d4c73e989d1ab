"""Whether the new version gets the share of the requests that it should: the alarm for a split that is not as it says.

Owns the test and its sentence. Must not roll back or blame a version: it only keeps the rollout from going on.

A version that loses requests before they are counted looks healthy; one that gets many more than it should, from a few
users or by a header, is not judged by what it would get. H0: of the requests of a second, the new version gets each
with odds between 1/`TOLERANCE` and `TOLERANCE` times those of its share. With n of N requests, the odds `BET` times
those of the share, q and p being the shares of the bet and of the bound that is nearer to it,

    log e = n log(q/p) + (N - n) log((1 - q)/(1 - p)),

for both directions, mixed over the time at which it began. E[e] <= 1, and no less so when requests are dealt more
evenly than by lot. Where users stick to a version, `TOLERANCE` is what the users of one may ask more than those of the
other; beyond it, a few of them are most of the traffic, and a person should look.

1. It needs odds of `NEEDED`, however often one looks: few requests cannot reach it.
2. After each change of the share, what was under way is let through first: `SETTLES` seconds and the judge's patience.
3. Shares of 0 and 1 are not tested. What was found goes when the share is right again.

Units: shares from 0 to 1, seconds.
"""

from __future__ import annotations

import math
from typing import Final

from controller.core.buckets import Bucket
from controller.core.mixture import Mixture
from controller.core.plain import Stateful
from controller.core.verdict import Verdict, percent

#: The name of its verdict, which is there only while something is wrong.
SPLIT: Final = "split"
TOLERANCE: Final = 2.0
BET: Final = 4.0
NEEDED: Final = 1000.0
SETTLES: Final = 10
_HIGH: Final = 50.0  # exp of it is more than any odds asked for
_WINDOW: Final = 60.0  # the sentence is about the requests of the last minute or so


class Exposure(Stateful):
    """Follows the share of the new version."""

    STATE = ("_share", "_from", "_mixture", "_old", "_new")

    def __init__(self, patience: float) -> None:
        self._settling = SETTLES + math.ceil(patience)
        self._share = 0.0
        self._from: int | None = None
        self._mixture = Mixture((1.0, 1.0))
        self._old = self._new = 0.0

    def begin_step(self, share: float) -> None:
        """The new version has this share from now on."""
        self._share = share
        self._from = None
        self._mixture = Mixture((1.0, 1.0))
        self._old = self._new = 0.0

    def update(self, second: int, old: Bucket, new: Bucket) -> None:
        """Take a second."""
        if self._from is None:
            self._from = second + self._settling
        if second < self._from or not 0 < self._share < 1:
            return
        kept = 1 - 1 / _WINDOW
        self._old, self._new = kept * self._old + old.requests, kept * self._new + new.requests
        self._mixture.open_starts(second)
        self._mixture.multiply([self._log_e(old.requests, new.requests, sign) for sign in (1, -1)])

    @property
    def verdict(self) -> Verdict | None:
        """What is wrong with the split, None when nothing is."""
        if self._mixture.value < NEEDED:
            return None
        found = self._new / (self._old + self._new)
        reason = (
            f"the new version gets {percent(found)} of the requests, and should get {percent(self._share)}: "
            "requests are lost, go around the split, or come from few users; find out before it gets more"
        )
        return Verdict(SPLIT, "INCONCLUSIVE", reason, {"share": found, "weight": self._share})

    def _log_e(self, old: int, new: int, sign: int) -> float:
        odds = self._share / (1 - self._share)
        bound, bet = odds * TOLERANCE**sign, odds * BET**sign
        # In terms of odds: q/p and (1 - q)/(1 - p).
        rest = math.log((1 + bound) / (1 + bet))
        return min(new * (math.log(bet / bound) + rest) + old * rest, _HIGH)
