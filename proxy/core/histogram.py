"""The latency bins of the shared counters, for readers: their bounds, quantiles of them, and coarser buckets.

Rules:
1. The bins are those of `proxy/wire/histogram.h`: one a unit below 64 units of 1.024 us, then 32 an octave, then one
   for all that is longer than 137 s. A bin is at most 1/32 of its value wide.
2. A histogram is a sparse mapping from bin index to count; adding two is adding their counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

UNIT = 1.024e-6  # seconds
LINEAR = 64
OCTAVES = 21
BINS = LINEAR + 32 * OCTAVES + 1


def _lower(index: int) -> float:
    if index < LINEAR:
        return index * UNIT
    octave, step = divmod(index - LINEAR, 32)
    return float((32 + step) << (octave + 1)) * UNIT


#: LOWER[i] is the lower bound of bin i in seconds; its upper bound is LOWER[i + 1].
LOWER: tuple[float, ...] = tuple(_lower(i) for i in range(BINS + 1))


def middle(index: int) -> float:
    """The middle of a bin in seconds; the lower bound of the last one, which has no end."""
    if index >= BINS - 1:
        return LOWER[BINS - 1]
    return (LOWER[index] + LOWER[index + 1]) / 2


def quantile(bins: Mapping[int, int], q: float) -> float | None:
    """The latency in seconds below which a share `q` of the counts lies; None of an empty histogram."""
    total = sum(bins.values())
    if not total:
        return None
    rank = max(1.0, q * total)
    seen = 0
    for index in sorted(bins):
        seen += bins[index]
        if seen >= rank:
            return middle(index)
    return middle(max(bins))


def coarsen(bins: Mapping[int, int], bounds: Sequence[float]) -> list[int]:
    """Cumulative counts at most at each of `bounds` (seconds, rising), and all of them last, as Prometheus wants them.

    A bin counts below a bound when its middle does: at most half a bin (1.6 %) off.
    """
    counts = [0] * (len(bounds) + 1)
    for index, count in bins.items():
        counts[bisect_right(bounds, middle(index)) if index < BINS - 1 else len(bounds)] += count
    for i in range(1, len(counts)):
        counts[i] += counts[i - 1]
    return counts


def added(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The sum of several histograms."""
    total: dict[int, int] = {}
    for bins in histograms:
        for index, count in bins.items():
            total[index] = total.get(index, 0) + count
    return total
