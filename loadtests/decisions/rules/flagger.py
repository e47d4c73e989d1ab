"""Flagger's rule: fixed thresholds on the canary alone, each minute.

From fluxcd/flagger `pkg/controller/scheduler.go`, `scheduler_metrics.go` and `pkg/metrics/observers`:
1. Each tick looks at the last minute: the share of answers that are no errors is below 99 %, or the 99th percentile of
   the latency is above 500 ms, or there is no value at all. Any of these is one failed check.
2. Failed checks add up over the whole analysis and are never forgiven. The rollback comes at the beginning of the tick
   after the one that reached the threshold.
3. A good tick raises the weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtests.decisions.rollouts import LONGEST, Account, Outcome
from loadtests.decisions.rules.prometheus import histogram_quantile
from loadtests.decisions.traffic import Seconds
from loadtests.decisions.worlds import Case

_INTERVAL: Final = 60
_GOOD_SHARE: Final = 0.99
_SLOWEST: Final = 0.5  # seconds


@dataclass(frozen=True)
class Flagger:
    """Flagger with some threshold of failed checks: 1 by default, 5 in its tutorials."""

    name: str
    threshold: int
    steps: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5)

    def run(self, case: Case, rng: np.random.Generator) -> Outcome:
        """One rollout."""
        account, step, failed = Account(case), 0, 0
        for begin in range(0, LONGEST, _INTERVAL):
            old, new = case.world.sample(rng, begin, _INTERVAL, self.steps[step], account.served)
            account.take(begin, old, new)
            now = begin + _INTERVAL
            if failed >= self.threshold:
                return account.end("rolled back", now)
            if _is_bad(new, case):
                failed += 1
                continue
            step += 1
            if step == len(self.steps):
                return account.end("promoted", now)
        return account.end("held", LONGEST)


def _is_bad(new: Seconds, case: Case) -> bool:
    requests = new.requests.sum()
    if not requests:
        return True
    if 1 - new.errors.sum() / requests < _GOOD_SHARE:
        return True
    return case.metric == "latency" and histogram_quantile(0.99, new.latencies.sum(0)) > _SLOWEST
