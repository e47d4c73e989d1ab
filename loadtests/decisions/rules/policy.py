"""A rollout of a configuration file on simulated traffic, decided by the controller's own code.

Owns the proxy that it is decided for: a split, its breaker, and seconds that close when their requests have ended. Must
not decide: `controller.judging` judges, `controller.core.decide` decides, `proxy.core.breaking` breaks.

1. What the file says counts: steps, bakes, checks, alpha, reactions, hold, hold_back, breaker.
2. Checks that ask somebody else (Prometheus, HTTP, a command, a signal) pass. Where a person's word is needed, it is
   given at once.
3. A rollout that holds waits for people: for us it ends there.
4. The breaker looks twenty times a second. What fails until it is heard is counted as failed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from config.guard import guard_of
from config.model import Config
from controller.core.actions import SetSplit
from controller.core.buckets import Bucket, bin_of, lower_bound
from controller.core.decide import decide
from controller.core.events import Event
from controller.core.model import Phase, Rollout, Split
from controller.core.observed import BREAKER, Seen, SeenEndpoint, SeenService, actor
from controller.core.orders import Order, obey
from controller.core.situation import checks_before, checks_during
from controller.core.strategy import strategy_of
from controller.core.terms import Terms
from controller.core.transitions import apply, create
from controller.core.verdict import Verdict
from controller.judging import Judging
from loadtests.decisions.rollouts import Account, Ended, Outcome
from loadtests.decisions.traffic import Seconds
from loadtests.decisions.worlds import Case
from proxy.core.attempts import Counts
from proxy.core.blame import Blame
from proxy.core.breaking import LastAttempts

_BEFORE: Final = 120  # seconds of the old version alone that the judge has seen
_CHUNK: Final = 20
_LOOKS: Final = 20  # of the breaker, a second
_TAKING_OUT: Final = 0.1  # seconds until what it has decided is served
JUDGED: Final = frozenset({"error_rate", "latency", "client_errors"})
"""The kinds of checks that look at the traffic."""
_ENDS: Final[dict[Phase, Ended]] = {
    "promoted": "promoted",
    "rolling_back": "rolled back",
    "rolled_back": "rolled back",
    "holding": "held",
}
_ENDPOINT: Final = "127.0.0.1:9001"


@dataclass(frozen=True)
class Policy:
    """The canary or blue-green rollout of a service."""

    config: Config
    service: str
    name: str = "this policy"

    def run(self, case: Case, rng: np.random.Generator) -> Outcome:
        """One rollout."""
        return _Walk(self, case, rng).run()

    @property
    def longest(self) -> int:
        """After so many seconds at most it has ended or holds, if nothing stands still."""
        rollout = self.created()
        strategy = strategy_of(rollout.policy)
        return math.ceil(sum(strategy.longest(step) for step in range(strategy.last_step(rollout) + 1)))

    @property
    def shortest(self) -> int:
        """It takes so many seconds at least to the end."""
        rollout = self.created()
        strategy = strategy_of(rollout.policy)
        return math.ceil(sum(strategy.bake(step) for step in range(strategy.last_step(rollout) + 1)))

    def created(self) -> Rollout:
        """The rollout before it begins."""
        policy = self.config.rollouts[self.service]
        return create("simulated-1", Event("created", 0.0, "simulated", policy=policy, service=self.service))


class _SimulatedBreaker:
    """The breaker of the new version in the proxy; `wire` is how the requests of a second lie in it."""

    def __init__(self, rule: Policy, rng: np.random.Generator) -> None:
        guard = guard_of(rule.config, rule.service, rule.config.rollouts[rule.service].to)
        self._last = LastAttempts(guard.rule.window, guard.rule.fails, Blame()) if guard else None
        self._rng = rng

    def trip(self, old: Seconds, new: Seconds, row: int, share: float) -> tuple[float, str] | None:
        """The part of the second after which it has opened, and why; None when it does not."""
        requests = int(new.requests[row])
        if self._last is None or not requests:
            return None
        for look, (own, reference) in enumerate(zip(self._looks(new, row), self._looks(old, row), strict=True)):
            trip = self._last.add(own, reference, share)
            if trip:
                return min((look + 1) / _LOOKS + _TAKING_OUT, 1.0), trip.reason
        return None

    def _looks(self, seconds: Seconds, row: int) -> Iterator[Counts]:
        requests, errors = int(seconds.requests[row]), int(seconds.errors[row])
        places = self._rng.integers(0, _LOOKS, size=requests)
        attempts = np.bincount(places, minlength=_LOOKS).tolist()
        failures = np.bincount(places[:errors], minlength=_LOOKS).tolist()
        return map(Counts, attempts, failures)


class _Walk:
    def __init__(self, rule: Policy, case: Case, rng: np.random.Generator) -> None:
        self._rule, self._case, self._rng = rule, case, rng
        self._rollout = rule.created()
        self._patience = Terms.of(self._rollout.policy.checks, self._rollout.policy.alpha).patience
        self._interval = max(1, math.ceil(rule.config.controller.interval))
        self._breaker = _SimulatedBreaker(rule, np.random.default_rng(rng.integers(2**32)))
        self._judging = Judging(self._rollout)
        self._account = Account(case)
        self._open: deque[tuple[int, Bucket, Bucket]] = deque()
        self._chunk: tuple[int, Seconds, Seconds] | None = None
        old, new = self._rollout.old, self._rollout.new
        endpoints = {version: {_ENDPOINT: SeenEndpoint()} for version in (old, new)}
        self._proxy = SeenService(1, Split({old: 100.0, new: 0.0}), endpoints, "file")
        self._acknowledged = 0
        self._looked_at: float | None = None

    def run(self) -> Outcome:
        self._judging.take_closed(self._rollout, self._history(), 0.0)
        self._turns(0)
        longest = 2 * self._rule.longest + 3600
        for now in range(1, longest + 1):
            self._open.append(self._pass_second(now - 1))
            if now % self._interval == 0:
                self._turns(now)
            ended = _ENDS.get(self._rollout.phase)
            if ended:
                return self._account.end(ended, now, "+".join(self._rollout.failed))
        return self._account.end("held", longest)

    def _history(self) -> Iterator[tuple[int, Bucket, Bucket]]:
        before, _ = self._case.world.sample(self._rng, -_BEFORE, _BEFORE, 0.0, 0.0)
        for row in range(_BEFORE):
            yield row - _BEFORE, before.bucket(row, bin_of(self._patience)), Bucket()

    def _pass_second(self, second: int) -> tuple[int, Bucket, Bucket]:
        share = self._proxy.split.share(self._rollout.new)
        if self._chunk is None or second >= self._chunk[0] + _CHUNK:
            self._chunk = second, *self._case.world.sample(self._rng, second, _CHUNK, share, self._account.served)
        begin, old, new = self._chunk
        row = second - begin
        opened = self._breaker.trip(old, new, row, share) if 0 < share < 1 else None
        if opened:
            part, reason = opened
            old, new = _dealt_anew(old, new, row, part)
            self._chunk = begin, old, new
            self._serve(
                self._proxy.generation + 1,
                Split({self._rollout.old: 100.0, self._rollout.new: 0.0}),
                BREAKER,
                f"breaker: {reason}",
            )
        self._account.take(begin, old, new, slice(row, row + 1))
        if opened:
            self._chunk = None
        patience_bin = bin_of(self._patience)
        return second, old.bucket(row, patience_bin), new.bucket(row, patience_bin)

    def _turns(self, now: int) -> None:
        """Judge what is closed, and decide until there is nothing more to be done."""
        closed = []
        while self._open and self._closes_at(*self._open[0]) <= now:
            closed.append(self._open.popleft())
        self._judging.take_closed(self._rollout, closed, self._rollout.judged_since)
        while True:
            decision = decide(self._rollout, self._seen(), float(now))
            self._rollout = decision.rollout
            splits = [action.split for action in decision.actions if isinstance(action, SetSplit)]
            for split in splits:
                self._serve(self._proxy.generation + 1, split, actor(self._rollout.id), "")
                self._acknowledged = self._rollout.intent
            self._looked_at = float(now)
            if not (splits or decision.events or self._promoted_by_hand(now)):
                break
            self._judging.take_closed(self._rollout, (), self._rollout.judged_since)
        self._judging.take_seconds()

    def _promoted_by_hand(self, now: int) -> bool:
        rollout, strategy = self._rollout, strategy_of(self._rollout.policy)
        if rollout.phase != "step" or rollout.runs_since is None or strategy.need(rollout.step) != "person":
            return False
        if rollout.elapsed(now) < strategy.bake(rollout.step):
            return False
        event = obey(rollout, Order("promote", "somebody"), float(now), "")
        assert event is not None
        self._rollout = apply(rollout, event)
        return True

    def _serve(self, generation: int, split: Split, by: str, reason: str) -> None:
        if not split.equals(self._proxy.split):
            self._chunk = None
        self._proxy = SeenService(generation, split, self._proxy.endpoints, by, reason)

    def _seen(self) -> Seen:
        judged = self._judging.verdicts
        outside = [check.name for check in checks_during(self._rollout.policy) if check.kind not in JUDGED]
        return Seen(
            proxies={"proxy": self._proxy},
            verdicts=(*judged, *(Verdict(check, "PASS", "passes in the simulation") for check in outside)),
            before=tuple(Verdict(check.name, "PASS", "") for check in checks_before(self._rollout.policy)),
            outage=self._judging.outage,
            acknowledged=self._acknowledged,
            previous_at=self._looked_at,
        )

    def _closes_at(self, second: int, old: Bucket, new: Bucket) -> int:
        """The first look at which all its requests have ended, or have been waited for long enough."""
        slowest = max((max(bucket.latencies, default=0) for bucket in (old, new) if bucket.latencies), default=None)
        waits = 0.0 if slowest is None else min(lower_bound(slowest + 1), self._patience)
        return second + 1 + max(1, math.ceil(waits))


def _dealt_anew(old: Seconds, new: Seconds, row: int, part: float) -> tuple[Seconds, Seconds]:
    """The second in which the breaker has opened: only a part of its requests came to the new version."""
    cut = [array.copy() for array in (new.requests, new.errors)]
    for array in cut:
        array[row] = math.ceil(part * array[row])
    latencies = new.latencies.copy()
    latencies[row] = np.floor(part * latencies[row])
    return old, Seconds(cut[0], cut[1], new.expected, latencies)
