"""What the old version usually does: its error rates and its latencies, learnt from its own past.

Owns the memory of it. Must not be taught while both versions fail, or a bucket before it was judged.

Units: rates from 0 to 1.
"""

from __future__ import annotations

import math
from typing import Final

from controller.core.buckets import Bucket
from controller.core.plain import Stateful

#: Requests after which an error rate is half forgotten, roughly.
_MEMORY: Final = 2000
_AT_FIRST: Final = 1e-3
_LOWEST: Final = 1e-5  # a bet on "never" loses everything at the first error
_HIGHEST: Final = 0.5
_HALVINGS: Final = 40


class Baseline(Stateful):
    """The old version as it was until now."""

    STATE = ("error_rate", "client_error_rate", "requests", "bad", "latencies", "total")

    def __init__(self) -> None:
        self.error_rate = _AT_FIRST
        self.client_error_rate = _AT_FIRST
        self.requests = 0
        self.bad = 0  # errors, and requests without an answer
        self.latencies: dict[int, int] = {}
        self.total = 0  # of `latencies`

    def learn(self, bucket: Bucket) -> None:
        """Take a bucket of the old version."""
        self.error_rate = _learnt(self.error_rate, bucket.requests, bucket.errors)
        self.client_error_rate = _learnt(self.client_error_rate, bucket.requests, bucket.client_errors)
        self.requests += bucket.requests
        self.bad += bucket.errors + bucket.unanswered
        for index, count in bucket.latencies.items():
            self.latencies[index] = self.latencies.get(index, 0) + count
            self.total += count

    def highest(self, doubt: float, spread: float) -> float:
        """The highest share of bad requests that what was seen leaves possible, but for a chance of `doubt`.

        The smallest q >= p with n KL(p, q) >= log(1/doubt) (Chernoff). Errors that come in clusters tell less: n is the
        number of requests by their dispersion. Who was not seen to fail half of the time does not do so.
        """
        seen, n = self.bad / self.requests if self.requests else 0.0, self.requests / max(spread, 1.0)
        low, high = seen, max(seen, _HIGHEST)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if n * _divergence(seen, middle) >= math.log(1 / doubt) else (middle, high)
        return high


def _learnt(rate: float, requests: int, events: int) -> float:
    if not requests:
        return rate
    share = min(requests / (_MEMORY + requests), 0.5)
    return min(max((1 - share) * rate + share * events / requests, _LOWEST), _HIGHEST)


def _divergence(p: float, q: float) -> float:
    """The relative entropy of two rates, q inside (0, 1)."""
    left = p * math.log(p / q) if p else 0.0
    return left + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)
