"""Serinus' rule on simulated traffic: the judge, and the steps of a canary around it.

Owns the walk from step to step. Must not add to the judgement.

1. A bucket is closed a second after its own second, or when its patience ends if requests are under way. Meanwhile the
   traffic goes on, and what it costs is counted.
2. A step lasts `dwell` seconds at least, and until every check passes. The clock stands still in an outage.
3. Where an outage asks for it, the new version gets nothing until the outage has ended.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from controller.core.buckets import Bucket, bin_of
from controller.core.judge import Judge
from controller.core.judgement import Judgement
from controller.core.terms import Terms
from loadtests.decisions.rollouts import LONGEST, SAME_STEPS, Account, Ended, Outcome
from loadtests.decisions.traffic import Seconds
from loadtests.decisions.worlds import Case

_BEFORE: Final = 120  # seconds of the old version alone that the judge has seen
_CHUNK: Final = 20
_STEP_AT_MOST: Final = 900.0


@dataclass(frozen=True)
class Serinus:
    """The judge on some steps."""

    name: str = "Serinus"
    steps: tuple[float, ...] = SAME_STEPS
    dwell: int = 30
    terms: Terms = field(default_factory=Terms)

    def run(self, case: Case, rng: np.random.Generator) -> Outcome:
        """One rollout."""
        return _Walk(self, case, rng).run()


class _Walk:
    def __init__(self, rule: Serinus, case: Case, rng: np.random.Generator) -> None:
        self._rule, self._case, self._rng = rule, case, rng
        self._patience_bin = bin_of(rule.terms.patience)
        before, _ = case.world.sample(rng, -_BEFORE, _BEFORE, 0.0, 0.0)
        seconds = ((row - _BEFORE, before.bucket(row, self._patience_bin)) for row in range(_BEFORE))
        self._judge = Judge(rule.terms, seconds)
        self._account = Account(case)
        self._open: deque[tuple[int, Bucket, Bucket]] = deque()
        self._chunk: tuple[int, Seconds, Seconds] | None = None
        self._share = 0.0
        self._step = -1
        self._dwelt = self._spent = 0
        self._has_retreated = False

    def run(self) -> Outcome:
        self._advance()
        for now in range(1, LONGEST + 1):
            self._open.append(self._pass_second(now - 1))
            while self._open and _closes_at(*self._open[0]) <= now:
                ended = self._take(self._judge.take(*self._open.popleft()))
                if ended:
                    return self._account.end(ended, now)
        return self._account.end("held", LONGEST)

    def _pass_second(self, second: int) -> tuple[int, Bucket, Bucket]:
        if self._chunk is None or second >= self._chunk[0] + _CHUNK:
            served = self._account.served
            self._chunk = second, *self._case.world.sample(self._rng, second, _CHUNK, self._share, served)
        begin, old, new = self._chunk
        row = second - begin
        self._account.take(begin, old, new, slice(row, row + 1))
        return second, old.bucket(row, self._patience_bin), new.bucket(row, self._patience_bin)

    def _take(self, judgement: Judgement) -> Ended | None:
        if judgement.failed:
            return "rolled back"
        if judgement.outage:
            if judgement.outage.asks_for_retreat and not self._has_retreated:
                self._has_retreated = True
                self._deal(0.0)
            return None
        if self._has_retreated:
            self._has_retreated = False
            self._deal(self._rule.steps[self._step])
        self._dwelt += 1
        self._spent += 1
        if self._dwelt >= self._rule.dwell and judgement.may_advance:
            return self._advance()
        return "held" if self._spent >= _STEP_AT_MOST else None

    def _advance(self) -> Ended | None:
        self._step += 1
        self._dwelt = self._spent = 0
        if self._step == len(self._rule.steps):
            return "promoted"
        self._deal(self._rule.steps[self._step])
        return None

    def _deal(self, share: float) -> None:
        self._share = share
        self._chunk = None
        self._judge.begin_step(share, ([*self._rule.steps, 1.0])[self._step + 1])


def _closes_at(second: int, old: Bucket, new: Bucket) -> int:
    return second + (3 if old.unanswered or new.unanswered else 2)
