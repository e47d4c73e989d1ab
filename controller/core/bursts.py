"""Bad seconds that say nothing about a version: a pause of the garbage collector, a restart, one poisoned connection.

Owns the bound on what one second may add to the evidence. They hit one version alone, so that dealing the requests by
lot does not protect against them.

1. No fewer than `bad_seconds` separate bad seconds can condemn a version.
2. A share `SPOILED` of all seconds may hold anything at all, and evidence stays evidence: with c = log(1/alpha)/K and a
   bucket that is arbitrary with a probability of at most eta,
       log e' = min(log e, c) - log(1 + eta (exp(c) - 1))
   has E[e'] <= ((1 - eta) + eta exp(c)) / (1 + eta (exp(c) - 1)) = 1 (Huber, Ann. Math. Stat. 36, 1965, 1753).
3. Where the requests of a bucket cannot add as much as c, because they are few, c is as much as they can add: `most`,
   which depends on the numbers of requests only. So a quiet version does not pay for what cannot happen to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from controller.core.buckets import Bucket

SPOILED: Final = 0.005
BAD_SECONDS: Final = 2
BAD_SECONDS_OF_A_FLAKY_VERSION: Final = 3
FLAKY: Final = 3.0  # times the variance of independent errors
_FEW_ERRORS: Final = 10  # their variance tells nothing


class Guard:
    """The bound for one rollout."""

    def __init__(self, alpha: float, bad_seconds: int) -> None:
        self._most = math.log(1 / alpha) / bad_seconds
        self._price = math.log1p(SPOILED * math.expm1(self._most))

    def __call__(self, log_e: float, most: float) -> float:
        """The logarithm of the guarded e-value of a bucket, whose requests can give at most `most`."""
        if most >= self._most:
            return min(log_e, self._most) - self._price
        return log_e - math.log1p(SPOILED * math.expm1(most))


def dispersion(buckets: Sequence[Bucket]) -> float:
    """How much more the errors come together than independent ones do, from successive differences; 1 is not at all."""
    used = [bucket for bucket in buckets if bucket.requests]
    requests, errors = sum(bucket.requests for bucket in used), sum(bucket.errors for bucket in used)
    if errors < _FEW_ERRORS or errors == requests:
        return 1.0
    variance = errors / requests * (1 - errors / requests)
    squares = [
        (b.errors / b.requests - a.errors / a.requests) ** 2 / (variance * (1 / a.requests + 1 / b.requests))
        for a, b in pairwise(used)
    ]
    return sum(squares) / len(squares) if squares else 1.0


def bad_seconds_for(spread: float) -> int:
    """How many bad seconds to ask for, by the dispersion of the old version's errors."""
    return BAD_SECONDS_OF_A_FLAKY_VERSION if spread > FLAKY else BAD_SECONDS
