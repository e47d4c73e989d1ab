"""The good versions that are the hardest to tell from a bad one.

Owns the projections in relative entropy: what an oracle tests against, and what bounds every test.
"""

from __future__ import annotations

import math

import numpy as np

from loadtests.decisions.traffic import Floats


def relative_entropy(p: float, q: float) -> float:
    """Of two error rates."""
    return sum(a * math.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)) if a > 0)


def nearest_good(share: float, old: float, new: float, ratio: float, points: float) -> tuple[float, float]:
    """The error rates (new, old) on the margin, new = ratio x old + points, that are nearest to these."""
    low, high = 0.0, (new - points) / ratio

    def slope(y: float) -> float:
        x = ratio * y + points
        return ratio * share * (x - new) / (x * (1 - x)) + (1 - share) * (y - old) / (y * (1 - y))

    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return ratio * low + points, low


def positive(bins: Floats) -> Floats:
    """Latencies of which none is impossible."""
    raised = np.maximum(bins, 1e-12)
    return np.asarray(raised / raised.sum())


def nearest_ordered(share: float, old: Floats, new: Floats) -> tuple[Floats, Floats]:
    """The nearest latencies (old, new) of which the new ones are not slower.

    Robertson, Wright, Ann. Stat. 9, 1981, 1248.
    """
    mix = share * new + (1 - share) * old
    return old * _monotone(mix / old, old), new * -_monotone(-mix / new, new)


def _monotone(values: Floats, weights: Floats) -> Floats:
    """The nearest sequence that never falls, by pooling adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        total, heavy, length = value * weight, weight, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / heavy:
            before = pools.pop()
            total, heavy, length = total + before[0], heavy + before[1], length + before[2]
        pools.append((total, heavy, length))
    return np.concatenate([np.full(length, total / heavy) for total, heavy, length in pools])
