"""Evidence that the new version is slower than the old one, beyond the margin.

Owns the margin as a shift of the old version's histogram, and the process of evidence. Must not know of failures: they
are not in the latencies.

H0: the new version is not slower than the old one made `shift` bins slower. There is no quantile to choose or estimate,
and no model of latencies. The bets are those of `slowness`, against what the old version was like until now.

1. Places are bins, counted from the lowest; nothing is slower than `top`, the bin of the judge's patience.
2. The reference is frozen before it is used, and taken anew when there is twice as much to learn from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from controller.core.baseline import Baseline
from controller.core.buckets import LOWEST, SCALE, Bucket, tail_bin
from controller.core.bursts import Bound
from controller.core.caches import Caches
from controller.core.mixture import Mixture
from controller.core.plain import Stateful
from controller.core.slowness import SLOPES, STEPS, Bets, Placed

_ENOUGH: Final = 100  # latencies to begin with
_SLOW: Final = 0.1  # of the old version; slower than that is slow when looking for caches that fill
_PRIOR: Final = (1.0,) * (len(SLOPES) + len(STEPS))


def shift_for(slower_by: float) -> int:
    """The bins that make a latency slower by this share: 20 % are 2. At most 1.3 % of it are rounded off."""
    return max(math.ceil(SCALE * math.log2(1 + slower_by) - 0.15), 0)


def placed(latencies: Mapping[int, int], shift: int, top: int) -> Placed:
    """A histogram, made slower by some bins, as places and counts; a place may come more than once."""
    return [(min(index + shift, top) - LOWEST, count) for index, count in latencies.items()]


class Reference(Stateful):
    """The bets against the old version made `shift` bins slower, as far as it is known."""

    STATE = ("_frozen", "_total")

    def __init__(self, shift: int, top: int, *, with_steps: bool = True) -> None:
        self._shift = shift
        self._top = top
        self._steps = STEPS if with_steps else ()
        self._frozen: dict[int, int] = {}
        self._total = 0
        self.bets: Bets | None = None
        self.slow_from = 0
        """The bin from which on the slowest tenth of the old version is."""

    def freeze(self, baseline: Baseline) -> None:
        """Take the old version as it is known now, if that is much more than before."""
        if baseline.total >= max(_ENOUGH, 2 * self._total):
            self._frozen, self._total = dict(baseline.latencies), baseline.total
            self._place_bets()

    def _place_bets(self) -> None:
        places = self._top - LOWEST + 1
        self.bets = Bets(placed(self._frozen, self._shift, self._top), places, SLOPES, self._steps)
        self.slow_from = tail_bin(self._frozen, _SLOW) + self._shift

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take up the state that `to_plain` gave."""
        super().restore(plain)
        if self._total:
            self._place_bets()


class LatencyEvidence(Stateful):
    """The process of evidence for one margin."""

    STATE = ("_mixture", "_reference", "_caches")

    def __init__(self, shift: int, top: int, guard: Bound) -> None:
        self._shift = shift
        self._top = top
        self._guard = guard
        self._mixture = Mixture(_PRIOR)
        self._reference = Reference(shift, top)
        self._caches = Caches()

    @property
    def value(self) -> float:
        """The evidence so far."""
        return self._mixture.value

    @property
    def caches_are_filling(self) -> bool:
        """Whether the new version's slow requests become fewer."""
        return self._caches.are_filling

    def update(self, second: int, new: Bucket, old: Bucket, baseline: Baseline) -> None:
        """Take a bucket of both versions; `baseline` has not learnt from it yet."""
        self._reference.freeze(baseline)
        bets = self._reference.bets
        if bets is None:
            return
        self._mixture.open_starts(second)
        requests = sum(new.latencies.values())
        slow = sum(count for index, count in new.latencies.items() if index >= self._reference.slow_from)
        self._caches.update(second, requests, slow)
        if not new.latencies or not old.latencies:
            return
        found = bets.found(placed(new.latencies, 0, self._top), placed(old.latencies, self._shift, self._top))
        self._mixture.multiply([self._guard(*bet, requests) for bet in found])
