"""How far the new version may still be worse, and whether the next step can be risked with that.

Owns the bounds on the excess of errors and of latency, and the limit that the next step asks for. Must not look at the
evidence of harm: that is asked for separately.

1. The bound on the errors is the smallest u whose H0: p_c >= p_b + u is refuted at odds of 1/beta to one, by the
   e-value of `errors` with ratio 1, points u, and bets below the line: the old version does what it usually does, and
   the new one is a quarter of u worse, so that a single burst does not make it wait for ever. The bound holds at every
   moment (Ville): of versions that are worse than u, at most a share beta passes a step.
2. The limit is what the next step may cost: u* = BUDGET / (requests a second x next share x HORIZON). Where u* is 1 or
   more, the next step cannot expose more than BUDGET requests before it would be noticed, and needs no evidence. So
   the time of a step hardly depends on the traffic: log(1/beta) (next share / share) HORIZON / BUDGET seconds or so.
3. It is never below twice the margin, so that a version within the margin passes, nor above `STRICT` for a version that
   is to get the majority.
4. The bound on the latency refutes "slower than the old one made some bins slower": twice as slow for early steps, one
   bin beyond the margin for a version that is to get the majority.
5. All of it begins anew with each step.

Units: rates from 0 to 1, seconds.
"""

from __future__ import annotations

import math
from typing import Final

from controller.core.baseline import Baseline
from controller.core.buckets import SCALE, Bucket
from controller.core.errors import log_evidence
from controller.core.latency import Reference, placed
from controller.core.plain import Stateful
from controller.core.slowness import SLOPES

BETA: Final = 0.05
BUDGET: Final = 10.0  # requests that a step may spoil
HORIZON: Final = 30.0  # seconds until harm would be noticed
STRICT: Final = 0.02
FINEST: Final = 0.005  # of the bounds; anything finer takes more traffic than there is
MAJORITY: Final = 0.5

_BOUNDS: Final = 16
_TWICE: Final = SCALE  # bins
_HIGH: Final = 50.0  # exp of it is more than any odds asked for


def limit_for(margin: float, rate: float, next_share: float) -> float:
    """The excess of errors that the next step can be risked with, u*; 1 or more needs no evidence."""
    least = max(2 * margin, FINEST)
    exposed = rate * next_share * HORIZON
    limit = max(BUDGET / exposed, least) if exposed > 0 else math.inf
    return min(limit, max(STRICT, least)) if next_share > MAJORITY else limit


def is_small(rate: float, next_share: float) -> bool:
    """Whether the next step exposes so few requests that it needs no evidence."""
    return next_share <= MAJORITY and rate * next_share * HORIZON <= BUDGET


class ErrorBound(Stateful):
    """The bound on the excess of errors of one step."""

    STATE = ("_logs", "_reached")

    def __init__(self, points: float) -> None:
        least = max(points, FINEST)
        self._excesses = [math.pow(least, 1 - i / _BOUNDS) for i in range(_BOUNDS)] if least < 1 else []
        self._logs: list[float] = []
        self._reached = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._logs = [0.0] * len(self._excesses)
        self._reached = len(self._excesses)

    @property
    def bound(self) -> float:
        """What the excess is at most; 1 as long as nothing is known."""
        return self._excesses[self._reached] if self._reached < len(self._excesses) else 1.0

    def update(self, n_c: int, k_c: int, n_b: int, k_b: int, usual: float) -> None:
        """Take a bucket: requests and bad ones of the new version and of the old one, whose usual rate is given."""
        if n_c == 0 or n_b == 0:
            return
        for i in range(self._reached):
            u = self._excesses[i]
            self._logs[i] += log_evidence(n_c, k_c, n_b, k_b, usual + u / 4, usual, 1.0, u)[0]
        while self._reached and self._logs[self._reached - 1] >= -math.log(BETA):
            self._reached -= 1


class LatencyBound(Stateful):
    """Whether the new version is not slower than the old one made `shift` bins slower, in one step."""

    STATE = ("_reference", "_money", "reached")

    def __init__(self, shift: int, top: int) -> None:
        self._shift = shift
        self._top = top
        self._reference = Reference(shift, top, with_steps=False)
        self._money: list[float] = []
        self.reached = False
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._money = [1 / len(SLOPES)] * len(SLOPES)
        self.reached = False

    def update(self, new: Bucket, old: Bucket, baseline: Baseline) -> None:
        """Take a bucket of both versions; `baseline` has not learnt from it yet."""
        self._reference.freeze(baseline)
        bets = self._reference.bets
        if bets is None or self.reached or not new.latencies or not old.latencies:
            return
        found = bets.found(placed(old.latencies, self._shift, self._top), placed(new.latencies, 0, self._top))
        self._money = [
            money * math.exp(min(log_e, _HIGH)) for money, (log_e, _, _) in zip(self._money, found, strict=True)
        ]
        self.reached = math.fsum(self._money) >= 1 / BETA


def shift_asked(margin: int, next_share: float) -> int:
    """How many bins slower must be ruled out before the next step."""
    return margin + 1 if next_share > MAJORITY else max(margin + 1, _TWICE)
