"""Whose failures they are: evidence that the new version of a rollout fails by itself, and not with the old one.

Owns the evidence of a rollout's breaker. Must not decide: that is `proxy.core.breaking`.

1. The split deals requests to both versions by chance. So while the new one fails at most `RATIO` times as often as the
   old one, each failure is the new one's with a probability of at most due = RATIO w / (RATIO w + 1 - w), w being its
   share of the requests, whatever it is that fails, and in whatever order.
2. A unit of money bets on every failure that it is the new version's: it becomes OWN / due times as much if it is, and
   (1 - OWN) / (1 - due) times as much if not. That is a fair game at best: P(it ever reaches 1/a) <= a, however often
   one looks (Ville 1939; Ramdas, Grünwald, Vovk, Shafer, Statistical Science 38, 2023, 576).
3. A part of the money waits, and is spent before each later failure, for a version that becomes bad only then (Shin,
   Ramdas, Rinaldo, arXiv 2203.03532).
4. Requests that do not follow the split, previews for example, raise w: the larger one of what the weights say and of
   what was counted lately counts.
"""

from __future__ import annotations

import math
from typing import Final

from proxy.core.attempts import Counts

RATIO: Final = 1.25
OWN: Final = 0.98
#: The prior probability that a bad version is bad from the first failure on. The others share the rest as 1/(k(k+1)).
FROM_THE_START: Final = 0.75
ENOUGH: Final = 1e12
_MEMORY: Final = 64.0  # attempts
_BELIEF: Final = 16.0  # attempts that the weights are worth


class Blame:
    """The evidence against one version."""

    def __init__(self) -> None:
        self._money = 0.0
        self._waiting = 1.0
        self._starts = 0
        self._own = 0.0
        self._all = 0.0

    @property
    def odds(self) -> float:
        """How many times the money has become more."""
        return self._money + self._waiting

    def take(self, version: Counts, reference: Counts, share: float) -> None:
        """Count what has ended since the last call; `share` is what the weights give to the version, of both."""
        self._remember(version.attempts, reference.attempts)
        failures = version.failures + reference.failures
        counted = (self._own + _BELIEF * share) / (self._all + _BELIEF)
        due = _due(max(share, counted))
        if not failures or not 0 < due < OWN:
            return
        self._open_start()
        gain = version.failures * math.log(OWN / due) + reference.failures * math.log((1 - OWN) / (1 - due))
        self._money = min(self._money * math.exp(min(gain, math.log(ENOUGH))), ENOUGH)

    def _remember(self, own: int, others: int) -> None:
        kept = math.exp(-(own + others) / _MEMORY)
        self._own = self._own * kept + own
        self._all = self._all * kept + own + others

    def _open_start(self) -> None:
        later = self._starts
        part = FROM_THE_START if later == 0 else (1 - FROM_THE_START) / (later * (later + 1))
        self._starts += 1
        self._money += part
        self._waiting = max(self._waiting - part, 0.0)


def _due(share: float) -> float:
    return RATIO * share / (RATIO * share + 1 - share)
