"""What became of the requests of one version that arrived in one second, in the form that the judge counts with.

Owns the bucket, its latency bins, and how the finer bins of a proxy become these. Must not judge.

1. A request belongs to the second in which it arrived, whenever it ended. Otherwise, after every change of weights, the
   requests of the version with more traffic would be younger than the others, and look faster.
2. A bucket is closed when all its requests have ended, or `patience` after the end of its second. Every latency above
   `patience` counts as `patience`: of a request that is still under way, no more is known.
3. A failed request has no latency: a version that fails fast is not a fast one. A request that its client gave up is as
   slow as it was, and neither good nor failed.
4. Buckets of the same second from several workers or proxies add up.

Latency bins are those of OpenTelemetry's exponential histogram of scale 3: bin i holds what is longer than 2^(i/8) and
at most 2^((i+1)/8) seconds, so making everything 9.05 % slower moves it by one bin. Other units: seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

SCALE: Final = 8  # bins an octave
LOWEST: Final = -160  # about a microsecond; whatever is faster falls into this bin
HIGHEST: Final = 64  # 256 seconds


def bin_of(seconds: float) -> int:
    """The bin that a latency falls into."""
    return min(max(math.floor(SCALE * math.log2(seconds)), LOWEST), HIGHEST) if seconds > 0 else LOWEST


def lower_bound(index: int) -> float:
    """The shortest latency of a bin, in seconds."""
    return math.pow(2.0, index / SCALE)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The requests of one version of one second; `requests` leaves out those that their clients gave up."""

    requests: int = 0
    errors: int = 0
    unanswered: int = 0
    """Still under way when the bucket was closed; they are in `requests` and in `latencies` too."""
    latencies: Mapping[int, int] = field(default_factory=dict)
    """How many requests fell into which bin."""
    client_errors: int = 0
    """Answered with 4xx; they are no errors, and in `latencies` too."""

    def __add__(self, other: Bucket) -> Bucket:
        return Bucket(
            self.requests + other.requests,
            self.errors + other.errors,
            self.unanswered + other.unanswered,
            added(self.latencies, other.latencies),
            self.client_errors + other.client_errors,
        )


EMPTY: Final = Bucket()


def added(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    """The sum of two histograms."""
    total = dict(first)
    for index, count in second.items():
        total[index] = total.get(index, 0) + count
    return total


def quantile(latencies: Mapping[int, int], share: float) -> float | None:
    """The latency in seconds below which a share of the requests is, as the middle of a bin; None without requests."""
    rank = max(1.0, share * sum(latencies.values()))
    seen = 0
    for index in sorted(latencies):
        seen += latencies[index]
        if seen >= rank:
            return lower_bound(index) * math.pow(2.0, 0.5 / SCALE)
    return None


def tail_bin(latencies: Mapping[int, int], share: float) -> int:
    """The first bin such that at most a share of the requests are in it or slower."""
    left = share * sum(latencies.values())
    first = HIGHEST + 1
    for index in sorted(latencies, reverse=True):
        left -= latencies[index]
        if left < 0:
            break
        first = index
    return first


class Binning:
    """Turns the seconds of a proxy's /v1/stats into buckets."""

    def __init__(self, lower_bounds: Sequence[float], patience: float) -> None:
        """Take the proxy's `bin_lower_bounds_seconds`; the last of its bins has no end."""
        self._top = bin_of(patience)
        middles = [(lower + upper) / 2 for lower, upper in pairwise(lower_bounds)]
        self._bins = [min(bin_of(middle), self._top) for middle in (*middles, *lower_bounds[-1:])]

    def bucket(self, second: Mapping[str, Any]) -> Bucket:
        """One entry of `seconds`.

        Raises:
            IndexError: it has a bin that was not announced.
            KeyError: a field is missing.
        """
        latencies: dict[int, int] = {}
        for fine, count in second["bins"].items():
            index = self._bins[int(fine)]
            latencies[index] = latencies.get(index, 0) + count
        unanswered = second["in_flight"]
        if unanswered:
            latencies[self._top] = latencies.get(self._top, 0) + unanswered
        return Bucket(
            second["requests"] - second["aborted"], second["errors"], unanswered, latencies, second["client_errors"]
        )
