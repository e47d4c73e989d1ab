"""The formulas of the decision core written a second time, plainly, and sums over everything that can happen.

Owns oracles for tests. Must not import what it checks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

from scipy.stats import beta, binom, hypergeom


def poisson_log_e(nc: int, kc: int, nb: int, kb: int, tc: float, tb: float, rho: float, eps: float) -> float:
    """log e of a bucket for H0: p_c <= rho p_b + eps, as in the reference."""
    if nc == 0 or nb == 0:
        return 0.0
    a = nc * rho * rho + nb * rho
    b = nc * rho * (eps - tc) + nb * (eps - rho * tb)
    c = -nb * tb * eps
    d = math.sqrt(max(b * b - 4 * a * c, 0.0))
    y = (-b + d) / (2 * a) if b <= 0 else -2 * c / (b + d)
    y = max(y, 1e-12)
    x = rho * y + eps
    return kc * math.log(tc / x) - nc * (tc - x) + kb * math.log(tb / y) - nb * (tb - y)


def slow_log_e(nc: int, xc: int, nb: int, xb: int, odds: float) -> float:
    """log e of a bucket for a step, as in the reference; ours is the same where nc <= nb."""
    n, k = nc + nb, xc + xb
    return xc * math.log(odds) - min(k * math.log1p(nc / n * (odds - 1)), nc * math.log1p(k / n * (odds - 1)))


def mean_over_errors(nc: int, pc: float, nb: int, pb: float, e: Callable[[int, int], float]) -> float:
    """E[e(k_c, k_b)] of independent requests."""
    return math.fsum(
        binom.pmf(i, nc, pc) * binom.pmf(j, nb, pb) * e(i, j) for i in range(nc + 1) for j in range(nb + 1)
    )


def mean_over_lots(nc: int, nb: int, failing: int, e: Callable[[int, int], float]) -> float:
    """E[e(k_c, k_b)] when which requests fail is fixed, and only their version is drawn."""
    lowest, highest = max(0, failing - nb), min(nc, failing)
    return math.fsum(hypergeom.pmf(i, nc + nb, failing, nc) * e(i, failing - i) for i in range(lowest, highest + 1))


def mean_over_draws(
    with_a: list[int], with_b: list[int], n_a: int, e: Callable[[list[int], list[int]], float]
) -> float:
    """E[e] over which n_a requests go to a, when request i has the latency with_a[i] there, and with_b[i] with b."""
    everyone = range(len(with_a))
    values = [
        e([with_a[i] for i in chosen], [with_b[i] for i in everyone if i not in chosen])
        for chosen in combinations(everyone, n_a)
    ]
    return math.fsum(values) / len(values)


def upper_bound(seen: int, of: int, certainty: float = 0.95) -> float:
    """A probability is at most so much, by Clopper and Pearson, one-sided."""
    return float(beta.ppf(certainty, seen + 1, of - seen)) if seen < of else 1.0
