"""One process of evidence from many bets: over how bad the version is, and over when it became so.

Owns the money on each bet. Must not know what is bet on.

1. The process starts at 1 and is a fair game at best while the version is good: P(it ever reaches 1/alpha) <= alpha,
   however often one looks (Ville 1939; Ramdas, Grünwald, Vovk, Shafer, Statistical Science 38, 2023, 576).
2. A part of the money waits, and is spent on starts at later times, one each `SPACING` seconds: that is what finds a
   version that becomes bad only after a while (Shin, Ramdas, Rinaldo, arXiv 2203.03532). It must be spent before the
   bucket is seen.
3. Money above `ENOUGH` is thrown away, which changes no decision and keeps numbers finite.

Units: seconds; money as a multiple of what was there at first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from controller.core.plain import Stateful

SPACING: Final = 30
#: The prior probability that a bad version is bad from the first moment on. The others share the rest as 1/(k(k+1)).
FROM_THE_START: Final = 0.75
ENOUGH: Final = 1e12


class Mixture(Stateful):
    """Money on some bets; `prior` says how it is dealt among them at each start."""

    STATE = ("_money", "_waiting", "_starts", "_next_start")

    def __init__(self, prior: Sequence[float]) -> None:
        total = math.fsum(prior)
        self._prior = [share / total for share in prior]
        self._money = [0.0] * len(prior)
        self._waiting = 1.0
        self._starts = 0
        self._next_start: int | None = None

    @property
    def value(self) -> float:
        """The evidence: how many times the money has become more."""
        return math.fsum(self._money) + self._waiting

    def open_starts(self, second: int) -> None:
        """Spend what is due until this second, before its bucket is seen."""
        if self._next_start is None:
            self._next_start = second
        while second >= self._next_start:
            later = self._starts
            share = FROM_THE_START if later == 0 else (1 - FROM_THE_START) / (later * (later + 1))
            self._money = [money + share * part for money, part in zip(self._money, self._prior, strict=True)]
            self._waiting = max(self._waiting - share, 0.0)
            self._starts += 1
            self._next_start += SPACING

    def multiply(self, log_es: Sequence[float]) -> None:
        """Take the outcome of a bucket: the logarithm of the e-value of each bet."""
        self._money = [min(money * math.exp(log_e), ENOUGH) for money, log_e in zip(self._money, log_es, strict=True)]
