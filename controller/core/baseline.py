"""What the old version usually does: its error rates and its latencies, learnt from its own past.

Owns the memory of it. Must not be taught while both versions fail, or a bucket before it was judged.

Units: rates from 0 to 1.
"""

from __future__ import annotations

from typing import Final

from controller.core.buckets import Bucket
from controller.core.plain import Stateful

#: Requests after which an error rate is half forgotten, roughly.
_MEMORY: Final = 2000
_AT_FIRST: Final = 1e-3
_LOWEST: Final = 1e-5  # a bet on "never" loses everything at the first error
_HIGHEST: Final = 0.5


class Baseline(Stateful):
    """The old version as it was until now."""

    STATE = ("error_rate", "client_error_rate", "latencies", "total")

    def __init__(self) -> None:
        self.error_rate = _AT_FIRST
        self.client_error_rate = _AT_FIRST
        self.latencies: dict[int, int] = {}
        self.total = 0  # of `latencies`

    def learn(self, bucket: Bucket) -> None:
        """Take a bucket of the old version."""
        self.error_rate = _learnt(self.error_rate, bucket.requests, bucket.errors)
        self.client_error_rate = _learnt(self.client_error_rate, bucket.requests, bucket.client_errors)
        for index, count in bucket.latencies.items():
            self.latencies[index] = self.latencies.get(index, 0) + count
            self.total += count


def _learnt(rate: float, requests: int, events: int) -> float:
    if not requests:
        return rate
    share = min(requests / (_MEMORY + requests), 0.5)
    return min(max((1 - share) * rate + share * events / requests, _LOWEST), _HIGHEST)
