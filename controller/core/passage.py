"""When evidence that grows by chance is enough.

Owns the chance that a sum with known cumulants has reached a level. Must not know what is summed.

A sum of few large gains and many small losses is a Poisson number of jumps less something steady: with the cumulants
k1, k2, k3 the jump is k3/k2, their number has the mean k2/jump^2, and what is lost makes the mean k1 right (Pearson's
type III for counts). Of so many jumps that it does not matter, the normal distribution is left.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

from controller.core.growth import Cumulants

_NORMAL: Final = NormalDist()
_MANY: Final = 100.0  # jumps
_FAR: Final = 20.0  # standard deviations
_NOTHING: Final = 1e-12


def chance_of(total: Cumulants, needed: float) -> float:
    """The probability that the sum is at least `needed`."""
    if total.variance <= _NOTHING:
        return 1.0 if total.mean >= needed else 0.0
    jump = total.third / total.variance
    jumps = total.variance / jump**2 if jump > _NOTHING else math.inf
    if jumps > _MANY:
        return 1 - _NORMAL.cdf((needed - total.mean) / math.sqrt(total.variance))
    lost = jumps * jump - total.mean
    wanted = (needed + lost) / jump - 1e-9
    if wanted > jumps + _FAR * (math.sqrt(jumps) + 1):
        return 0.0  # and counting that far would take for ever
    return 1 - _poisson_below(math.ceil(wanted), jumps) if wanted > 0 else 1.0


def _poisson_below(number: int, mean: float) -> float:
    """The probability that a Poisson variable is below a number."""
    logs = (k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(number))
    return min(math.fsum(math.exp(log) for log in logs), 1.0)
