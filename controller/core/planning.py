"""What a rollout can see with the traffic that there is: step by step, before it begins.

Owns the forecast of each step, and what would help a step that sees nothing useful. Must not fetch or word anything.

1. A regression counts as seen when it has been rolled back with a chance of `SURELY` by the end of the bake, if it was
   there from the first request on.
2. How fast a step rolls back is told for a version that becomes bad when the step begins.
3. Once the new version has everything, it is compared with the past of the old one: so many requests a second as that
   got in the step before.
4. The absolute limit of the error rate and bets on slow modes are left out: they can only be faster.

Units: seconds, requests per second, rates and shares from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

from config.model import RollingRollout
from config.service import Breaker
from controller.core.buckets import LOWEST, SCALE, bin_of, lower_bound
from controller.core.model import Policy, Rollout, Unit
from controller.core.prospect import Badness, Prospect, Stretch
from controller.core.strategy import strategy_of
from controller.core.terms import Terms

SURELY: Final = 0.9
RATES: Final = (0.05, 0.2, 1.0)
#: A step that cannot see this error rate is warned of.
USEFUL: Final = 0.05
MAX_RATE: Final = 1e6

_SHARES: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # of a first step
_LONGEST: Final = 30 * 86400.0
_SLOWEST: Final = 6 * SCALE  # bins: 64 times as slow
_HALVINGS: Final = 9
_LOOK: Final = 0.2  # seconds until a breaker that has tripped has taken the version out


@dataclass(frozen=True, slots=True)
class Measured:
    """What the service does now: both versions' requests, and the errors and latencies of the old one."""

    rate: float
    errors: float
    latencies: Mapping[int, int] = field(default_factory=dict)
    """By bin, see `buckets`."""
    seconds: float = 0.0
    """Over how long it was measured; 0: assumed."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step as the policy has it."""

    share: float
    bake: float
    warm_up: float


@dataclass(frozen=True, slots=True)
class Rollback:
    """When an error rate is rolled back, if the version has it from the beginning of a step on."""

    error_rate: float
    median: float | None
    """None: not before the end of the rollout, or it is within the margin."""
    surely: float | None
    bad_requests: float | None
    """Failed until the median."""
    by: str = ""
    """The check, or the breaker."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one step can see."""

    step: PlannedStep
    begins: float
    requests: float
    """Of the new version, until the bake is over."""
    errors: float | None
    """The smallest error rate of the new version that is seen; None: not even when all fail."""
    slower: float | None
    """The smallest factor on the latency that is seen; None: no such factor up to 64."""
    rollbacks: tuple[Rollback, ...]

    @property
    def is_blind(self) -> bool:
        """Whether it cannot see anything useful."""
        return self.errors is None or self.errors > USEFUL


@dataclass(frozen=True, slots=True)
class Offers:
    """What would let a step see an error rate of `USEFUL`; None where that does not help."""

    bake: float | None
    share: float | None
    rate: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The forecast of a rollout. `offers` are for the first step that is blind."""

    measured: Measured
    terms: Terms
    forecasts: tuple[Forecast, ...]
    offers: Offers | None


def make_plan(policy: Policy, endpoints: int, measured: Measured) -> Plan:
    """The plan of a policy; `endpoints` are those of the old version, which a rolling rollout moves one by one."""
    terms = Terms.of(policy.checks, policy.alpha, policy.warm_up)
    steps = planned_steps(policy, endpoints)
    planner = _Planner(terms, policy.breaker or None, measured)
    forecasts = tuple(planner.forecast(steps, place) for place in range(len(steps)))
    blind = next((place for place, forecast in enumerate(forecasts) if forecast.is_blind), None)
    offers = planner.offers(steps, blind) if blind is not None and terms.errors and measured.rate else None
    return Plan(measured, terms, forecasts, offers)


def planned_steps(policy: Policy, endpoints: int) -> list[PlannedStep]:
    """The steps that a policy takes."""
    strategy = strategy_of(policy)
    is_rolling = isinstance(policy, RollingRollout)
    together = policy.max_unavailable if isinstance(policy, RollingRollout) else 0

    def at(step: int) -> Rollout:
        done = (step + 1) * together
        units = tuple(Unit(str(place), "new" if place < done else "old") for place in range(endpoints))
        return Rollout("", "", policy, 0.0, phase="step", step=step, units=units if is_rolling else ())

    return [
        PlannedStep(
            strategy.split(at(step)).share(policy.to),
            strategy.bake(step),
            policy.warm_up if is_rolling or step == 0 else 0.0,
        )
        for step in range(strategy.last_step(at(0)) + 1)
    ]


def assumed_latencies(median: float) -> dict[int, int]:
    """Latencies as many services have them: most around a median, one in twenty about five times as long."""
    normal = NormalDist()

    def below(index: int) -> float:
        return sum(
            weight * normal.cdf(math.log(lower_bound(index) / (factor * median)) / sigma)
            for weight, factor, sigma in ((0.95, 1.0, 0.5), (0.05, 5.0, 0.7))
        )

    bins = range(max(bin_of(median) - 4 * SCALE, LOWEST), bin_of(median) + 6 * SCALE)
    counts = {index: round(1e6 * (below(index + 1) - below(index))) for index in bins}
    return {index: count for index, count in counts.items() if count}


class _Planner:
    def __init__(self, terms: Terms, breaker: Breaker | None, measured: Measured) -> None:
        self._terms, self._breaker, self._measured = terms, breaker, measured

    def forecast(self, steps: Sequence[PlannedStep], place: int) -> Forecast:
        step, begins = steps[place], sum(each.bake for each in steps[:place])
        stretches = _stretches(steps, self._measured.rate)
        until_here = [stretch for stretch in stretches if stretch.end <= begins + step.bake]
        return Forecast(
            step,
            begins,
            self._measured.rate * step.share * step.bake,
            self._smallest_errors(until_here, begins + step.bake),
            self._smallest_slowness(until_here, begins + step.bake),
            tuple(self._rollback(rate, step, begins, stretches) for rate in RATES),
        )

    def offers(self, steps: Sequence[PlannedStep], place: int) -> Offers:
        """What would help the step at this place."""
        step, begins = steps[place], sum(each.bake for each in steps[:place])

        def sees(changed: PlannedStep, rate: float) -> bool:
            stretches = _stretches([*steps[:place], changed], rate)
            return self._errors(USEFUL, stretches).chance(begins + changed.bake) >= SURELY

        longer = PlannedStep(step.share, _LONGEST, step.warm_up)
        found = self._errors(USEFUL, _stretches([*steps[:place], longer], self._measured.rate)).time(SURELY)
        shares = [share for share in _SHARES if share > step.share]
        rate = _bisect(self._measured.rate, MAX_RATE, lambda rate: sees(step, rate))
        return Offers(
            bake=found - begins if found is not None and step.share else None,
            share=next((s for s in shares if sees(PlannedStep(s, step.bake, step.warm_up), self._measured.rate)), None),
            rate=rate,
        )

    def _errors(self, rate: float, stretches: Sequence[Stretch], bad_from: float = 0.0) -> Prospect:
        return Prospect(self._terms, Badness(self._measured.errors, rate, {}), stretches, bad_from)

    @property
    def _most_good(self) -> float:
        errors = self._terms.errors
        return errors.ratio * self._measured.errors + errors.points if errors else 1.0

    def _smallest_errors(self, stretches: Sequence[Stretch], end: float) -> float | None:
        if self._terms.errors is None:
            return None
        return _bisect(self._most_good, 1.0, lambda rate: self._errors(rate, stretches).chance(end) >= SURELY)

    def _smallest_slowness(self, stretches: Sequence[Stretch], end: float) -> float | None:
        if self._terms.latency is None or not self._measured.latencies:
            return None
        latencies, usual = dict(self._measured.latencies), self._measured.errors

        def sees(bins: int) -> bool:
            badness = Badness(usual, 0.0, latencies, bins)
            return Prospect(self._terms, badness, stretches).chance(end) >= SURELY

        low, high = self._terms.latency.shift, _SLOWEST
        if not sees(high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if sees(middle) else (middle, high)
        return math.pow(2.0, high / SCALE)

    def _rollback(self, rate: float, step: PlannedStep, begins: float, stretches: Sequence[Stretch]) -> Rollback:
        found: list[tuple[float, float | None, str]] = []
        if self._terms.errors and rate > self._most_good:
            prospect = self._errors(rate, stretches, begins)
            median, surely = prospect.time(0.5), prospect.time(SURELY)
            if median is not None:
                later = surely - begins if surely is not None else None
                found.append((median - begins, later, self._terms.errors.check))
        found += _by_breaker(self._breaker, self._measured.rate * step.share if step.share < 1 else 0.0, rate)
        if not found:
            return Rollback(rate, None, None, None)
        first, surely, by = min(found, key=lambda each: each[0])
        return Rollback(rate, first, surely, rate * _sent(stretches, begins, begins + first), by)


def _by_breaker(rule: Breaker | None, rate: float, errors: float) -> Iterator[tuple[float, float | None, str]]:
    """When the proxy's breaker opens; told for error rates only that open it without luck."""
    if rule is None or not rate or errors * rule.window < 2 * rule.fails:
        return
    median, surely = (_requests_until(rule.fails, errors, chance) / rate + _LOOK for chance in (0.5, SURELY))
    yield median, surely, "breaker"


def _requests_until(fails: int, rate: float, chance: float) -> int:
    """Requests until so many have failed, with this chance."""
    requests = fails
    while _chance_of_fewer(fails, requests, rate) > 1 - chance:
        requests += 1
    return requests


def _chance_of_fewer(fails: int, requests: int, rate: float) -> float:
    return math.fsum(math.comb(requests, k) * rate**k * (1 - rate) ** (requests - k) for k in range(fails))


def _sent(stretches: Sequence[Stretch], begin: float, end: float) -> float:
    """Requests that the new version gets in some time; the last stretch goes on."""
    if not stretches:
        return 0.0
    last = stretches[-1]
    parts = [(each.begin, each.end, each.new) for each in stretches] + [(last.end, math.inf, last.new)]
    return math.fsum(max(min(end, b) - max(begin, a), 0.0) * rate for a, b, rate in parts)


def _stretches(steps: Sequence[PlannedStep], rate: float) -> list[Stretch]:
    """The steps as stretches of even traffic."""
    found: list[Stretch] = []
    begin = before = 0.0
    for step in steps:
        old = 1 - (before if step.share >= 1 else step.share)
        warm, end = min(begin + step.warm_up, begin + step.bake), begin + step.bake
        for first, last, warms in ((begin, warm, True), (warm, end, False)):
            if last > first:
                found.append(Stretch(first, last, rate * step.share, rate * old, warms))
        begin, before = end, step.share
    return found


def _bisect(low: float, high: float, is_enough: Callable[[float], bool]) -> float | None:
    """The smallest value that is enough, on a logarithmic scale; None when not even the highest is."""
    if low >= high or not is_enough(high):
        return None
    low = max(low, 1e-9)
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
