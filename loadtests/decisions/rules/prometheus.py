"""`histogram_quantile` of Prometheus, on its client libraries' default buckets."""

from __future__ import annotations

from typing import Final

import numpy as np

from controller.core.buckets import lower_bound
from loadtests.decisions.traffic import BINS, FASTEST, Ints

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_UPPER: Final = np.array([lower_bound(FASTEST + place + 1) for place in range(BINS)])
_BUCKET_OF: Final = np.searchsorted(_BUCKETS, _UPPER * 0.999)


def histogram_quantile(share: float, latencies: Ints) -> float:
    """The quantile in seconds, linear within its bucket; NaN without requests."""
    counts = np.bincount(_BUCKET_OF, weights=latencies, minlength=len(_BUCKETS) + 1)
    total = counts.sum()
    if not total:
        return float("nan")
    rank = share * total
    cumulative = np.cumsum(counts)
    bucket = int(np.searchsorted(cumulative, rank))
    if bucket >= len(_BUCKETS):
        return _BUCKETS[-1]
    low = _BUCKETS[bucket - 1] if bucket else 0.0
    before = cumulative[bucket - 1] if bucket else 0.0
    return float(low + (_BUCKETS[bucket] - low) * (rank - before) / counts[bucket])
