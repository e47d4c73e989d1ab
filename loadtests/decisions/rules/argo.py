"""The rule of an Argo Rollouts AnalysisRun: a condition on a query, measured again and again.

From argoproj/argo-rollouts `analysis/analysis.go` and `utils/evaluate/evaluate.go`: with a `successCondition` alone, a
measurement that is not a success has failed, NaN too; the run fails when more than `failureLimit` have. What is
measured is up to the user; here it is the share of answers without an error, as in the documentation, which says
nothing of latency.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loadtests.decisions.rollouts import LONGEST, Account, Outcome
from loadtests.decisions.worlds import Case


@dataclass(frozen=True)
class Argo:
    """A background analysis through all steps, each with a pause."""

    name: str
    interval: int
    good_share: float
    failure_limit: int
    steps: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    pause: int = 600

    def run(self, case: Case, rng: np.random.Generator) -> Outcome:
        """One rollout."""
        account, failed = Account(case), 0
        end = self.pause * len(self.steps)
        for begin in range(0, min(end, LONGEST), self.interval):
            share = self.steps[begin // self.pause]
            old, new = case.world.sample(rng, begin, self.interval, share, account.served)
            account.take(begin, old, new)
            requests = int(new.requests.sum())
            good = 1 - new.errors.sum() / requests if requests else float("nan")
            if not good >= self.good_share:
                failed += 1
            if failed > self.failure_limit:
                return account.end("rolled back", begin + self.interval)
        return account.end("promoted", end)
