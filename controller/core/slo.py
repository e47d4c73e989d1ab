"""Evidence that the new version fails more often than it ever may, whatever the old version does.

Owns the test against an absolute limit. H0: p_c <= limit in every bucket. With the bet t above the limit,

    log e = k log(t/limit) + (n - k) log((1 - t)/(1 - limit)),

and E[e] <= 1 for requests of any kind, because log(1 + p (r - 1)) is concave in p and rises with it.
"""

from __future__ import annotations

import math
from typing import Final

from controller.core.bursts import Bound
from controller.core.mixture import Mixture
from controller.core.plain import Stateful

#: Where the bets are between the limit and 1, and the prior of each.
_PARTS: Final = (0.02, 0.1, 0.4, 0.9)
_PRIOR: Final = (0.3, 0.3, 0.2, 0.2)


class LimitEvidence(Stateful):
    """The process of evidence against a limit, which is above 0 and below 1."""

    STATE = ("_mixture",)

    def __init__(self, limit: float, guard: Bound) -> None:
        self._guard = guard
        self._mixture = Mixture(_PRIOR)
        bets = [limit + (1 - limit) * part for part in _PARTS]
        #: Each bet, and what a failed and what a good request is worth to it.
        self._worth = [(bet, math.log(bet / limit), math.log((1 - bet) / (1 - limit))) for bet in bets]

    @property
    def value(self) -> float:
        """The evidence so far."""
        return self._mixture.value

    def update(self, second: int, n: int, k: int) -> None:
        """Take a bucket of the new version: requests and errors."""
        self._mixture.open_starts(second)
        if n:
            self._mixture.multiply(
                [
                    self._guard(k * failed + (n - k) * good, n * failed, min(n * bet, 1.0), n)
                    for bet, failed, good in self._worth
                ]
            )
