"""Bad seconds that say nothing about a version: a pause of the garbage collector, a restart, one poisoned connection.

Owns the bound on what one second may add to the evidence. They hit one version alone, so that dealing the requests by
lot does not protect against them.

1. No fewer than `bad_seconds` separate bad seconds can condemn a version: one gives log(1/alpha)/bad_seconds at most.
2. A share eta of all seconds may hold anything at all, and evidence stays evidence: with a cap c, and a bucket that is
   arbitrary with a probability of at most eta,
       log e' = min(log e, c) - log(1 + eta (exp(c) - 1))
   has E[e'] <= ((1 - eta) + eta exp(c)) / (1 + eta (exp(c) - 1)) = 1 (Huber, Ann. Math. Stat. 36, 1965, 1753).
   eta is the smaller one of `SPOILED` a second and `SPOILED_BY_A_REQUEST` a request: a second with one request in it
   cannot hold a burst, and does not pay for one.
3. The cap may depend on the bet and on the numbers of requests, not on what became of them. It is as much as the bucket
   can be expected to give if the bet is right, and no more than is worth its price: of a bet that it gives anything
   with probability p, p c - eta exp(c) is greatest at c = log(p/eta). So a quiet version does not pay for what cannot
   happen to it, and a small regression is not lost in the price.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from controller.core.buckets import Bucket

SPOILED: Final = 0.002
SPOILED_BY_A_REQUEST: Final = 0.0002
BAD_SECONDS: Final = 2
BAD_SECONDS_OF_A_FLAKY_VERSION: Final = 3
FLAKY: Final = 3.0  # times the variance of independent errors
_FEW_ERRORS: Final = 10  # their variance tells nothing


#: A bound on log e of a bucket, given also `most`, `chance` and the requests of the new version.
Bound: TypeAlias = Callable[[float, float, float, int], float]


def unguarded(log_e: float, most: float, chance: float, requests: int) -> float:
    """No bound: for traffic without bad seconds."""
    return log_e


class Guard:
    """The bound for one rollout; evidence that counts with a weight below 1 condemns at 1/(alpha weight)."""

    def __init__(self, alpha: float, bad_seconds: int, weight: float = 1.0) -> None:
        self._most = math.log(1 / (alpha * weight)) / bad_seconds

    def __call__(self, log_e: float, most: float, chance: float, requests: int) -> float:
        """The logarithm of the guarded e-value of a bucket with so many requests of the new version.

        `most` is what it gives if the bet is right and it turns out well, `chance` how probable it then is that it
        gives anything.
        """
        spoiled = min(SPOILED, SPOILED_BY_A_REQUEST * requests)
        cap = min(self._most, most)
        if chance * math.exp(-cap) < spoiled:
            cap = max(math.log(chance / spoiled), 0.0)
        return min(log_e, cap) - math.log1p(spoiled * math.expm1(cap))


def bound(alpha: float, bad_seconds: int, weight: float = 1.0) -> Bound:
    """The bound that so many bad seconds ask for, as with `Guard`; 0: none."""
    return Guard(alpha, bad_seconds, weight) if bad_seconds else unguarded


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
