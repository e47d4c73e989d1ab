"""Kayenta's judge, NetflixACAJudge-v1.0: Mann-Whitney on a point per minute, canary against baseline.

From spinnaker/kayenta `MannWhitney.scala`, `MannWhitneyClassifier.scala`, as its documents configure it: a canary of
10 %, judged after 30 and after 60 minutes at a confidence of 98 %, two-sided, with a tolerance of a quarter of the
estimated shift. The metric is critical: HIGH ends the canary. A mean ratio above `_RATIO` is needed too, unless the
baseline's mean is 0: then it is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from controller.core.buckets import lower_bound
from loadtests.decisions.rollouts import Account, Outcome
from loadtests.decisions.traffic import BINS, FASTEST, Floats, Seconds
from loadtests.decisions.worlds import Case

_CONFIDENCE: Final = 0.98
_TOLERANCE: Final = 0.25
_RATIO: Final = 1.0
_POINT: Final = 60
_JUDGED_AT: Final = (1800, 3600)
_TOLERANCE_OF_ROOT: Final = 1e-4
_MIDDLES: Final = np.array([lower_bound(FASTEST + place) * 2 ** (1 / 16) for place in range(BINS)])


@dataclass(frozen=True)
class Kayenta:
    """One fixed weight, judged twice."""

    name: str = "Kayenta"
    share: float = 0.1

    def run(self, case: Case, rng: np.random.Generator) -> Outcome:
        """One rollout."""
        account = Account(case)
        baseline: list[float] = []
        canary: list[float] = []
        for begin in range(0, _JUDGED_AT[-1], _POINT):
            old, new = case.world.sample(rng, begin, _POINT, self.share, account.served)
            account.take(begin, old, new)
            baseline.append(_value(old, case))
            canary.append(_value(new, case))
            if begin + _POINT in _JUDGED_AT and is_high(np.array(canary), np.array(baseline)):
                return account.end("rolled back", begin + _POINT)
        return account.end("promoted", _JUDGED_AT[-1])


def _value(seconds: Seconds, case: Case) -> float:
    """The point of a minute: error rate or mean latency, 0 for none as `nanStrategy: replace` has it."""
    if case.metric == "latency":
        latencies = seconds.latencies.sum(0)
        return float(latencies @ _MIDDLES / latencies.sum()) if latencies.any() else 0.0
    requests = seconds.requests.sum()
    return float(seconds.errors.sum() / requests) if requests else 0.0


def is_high(canary: Floats, baseline: Floats) -> bool:
    """Whether the judge classifies the canary as HIGH."""
    if np.ptp(np.concatenate([canary, baseline])) == 0:
        return False
    low, estimate = _shift(canary, baseline)
    ratio = canary.mean() / baseline.mean() if baseline.mean() and canary.mean() else np.nan
    return bool(low > _TOLERANCE * abs(estimate) and (np.isnan(ratio) or ratio >= _RATIO))


def _shift(canary: Floats, baseline: Floats) -> tuple[float, float]:
    """The lower end of the interval of the shift, and its estimate, as R's `wilcox.test` finds them."""
    quantile = norm.isf((1 - _CONFIDENCE) / 2)
    lowest, highest = canary.min() - baseline.max(), canary.max() - baseline.min()

    def root(wanted: float, correction: float) -> float:
        def above(shift: float) -> float:
            return _standardized(canary - shift, baseline, correction) - wanted

        if above(lowest) <= 0:
            return float(lowest)
        if above(highest) >= 0:
            return float(highest)
        return float(brentq(above, lowest, highest, xtol=_TOLERANCE_OF_ROOT))

    return root(quantile, 0.5), root(0.0, 0.0)


def _standardized(canary: Floats, baseline: Floats, correction: float) -> float:
    """The rank sum in standard deviations, corrected for ties; 0 where all are the same."""
    n, m = len(canary), len(baseline)
    together = np.concatenate([canary, baseline])
    _, ties = np.unique(together, return_counts=True)
    excess = rankdata(together)[:n].sum() - n * (n + 1) / 2 - n * m / 2
    variance = n * m / 12 * (n + m + 1 - float((ties**3 - ties).sum()) / ((n + m) * (n + m - 1)))
    return float((excess - np.sign(excess) * correction) / np.sqrt(variance)) if variance > 0 else 0.0
