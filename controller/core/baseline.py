"""What the old version usually does: its error rate and its latencies, learnt from its own past.

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

    STATE = ("error_rate", "latencies", "total")

    def __init__(self) -> None:
        self.error_rate = _AT_FIRST
        self.latencies: dict[int, int] = {}
        self.total = 0  # of `latencies`

    def learn(self, bucket: Bucket) -> None:
        """Take a bucket of the old version."""
        if bucket.requests:
            share = min(bucket.requests / (_MEMORY + bucket.requests), 0.5)
            rate = (1 - share) * self.error_rate + share * bucket.errors / bucket.requests
            self.error_rate = min(max(rate, _LOWEST), _HIGHEST)
        for index, count in bucket.latencies.items():
            self.latencies[index] = self.latencies.get(index, 0) + count
            self.total += count
