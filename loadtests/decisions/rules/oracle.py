"""The oracle: Wald's sequential test of what the new version really does against the nearest that would be good.

It knows the error rates and latencies of both versions at every moment, stays on 1 %, and stops at odds of 1/alpha. No
rule with the same margin and certainty can spoil fewer requests there, on average. It rolls back, or does not end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtests.decisions.nearest import nearest_ordered, positive
from loadtests.decisions.rollouts import LONGEST, Account, Outcome
from loadtests.decisions.traffic import Floats, Seconds, mixed, slower
from loadtests.decisions.worlds import Case

_ALPHA: Final = 0.01
_SHARE: Final = 0.01
_RATIO: Final = 1.25
_POINTS: Final = 0.005
_SLOWER: Final = 2 ** (2 / 8)
_CHUNK: Final = 20


@dataclass(frozen=True)
class Oracle:
    """The oracle on one weight."""

    name: str = "oracle"

    def run(self, case: Case, rng: np.random.Generator) -> Outcome:
        """One rollout of a bad version."""
        account, log = Account(case), 0.0
        worth = _worth_of_latencies(case)
        for begin in range(0, LONGEST, _CHUNK):
            old, new = case.world.sample(rng, begin, _CHUNK, _SHARE, account.served)
            steps = np.cumsum(_of_errors(old, new) + new.latencies @ worth)
            over = np.flatnonzero(log + steps >= math.log(1 / _ALPHA))
            if over.size:
                row = int(over[0])
                account.take(begin, old, new, slice(row + 1))
                return account.end("rolled back", begin + row + 1)
            account.take(begin, old, new)
            log += float(steps[-1])
        return account.end("held", LONGEST)


def _of_errors(old: Seconds, new: Seconds) -> Floats:
    """What the errors of each second say: the old version's rate is known, so only the new one's requests count."""
    bad = new.expected
    good = np.minimum(_RATIO * old.expected + _POINTS, 1.0)
    is_worse = bad > good
    bad = np.where(is_worse, bad, good)
    failed = new.errors * np.log(bad / good)
    passed = (new.requests - new.errors) * np.log(np.maximum(1 - bad, 1e-12) / (1 - good))
    return np.asarray(np.where(is_worse, failed + passed, 0.0))


def _worth_of_latencies(case: Case) -> Floats:
    """What one request of each latency says; nothing where the versions differ in errors."""
    new, old = case.world.new, case.world.old
    if case.metric == "errors":
        return np.zeros_like(new.latency)
    once = np.zeros(1)
    odd = float(new.odd(once, once)[0])
    bad = positive(mixed(odd, new.odd_latency, new.latency))
    _, good = nearest_ordered(1e-6, positive(slower(old.latency, _SLOWER)), bad)
    return np.asarray(np.log(bad / good))
