"""Plans: what they promise is what the judge does, and what they advise helps."""

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.buckets import bin_of, quantile
from controller.core.growth import Cumulants
from controller.core.judge import Judge
from controller.core.passage import chance_of
from controller.core.plan_words import sentences
from controller.core.planning import (
    SURELY,
    Forecast,
    Measured,
    Plan,
    PlannedStep,
    assumed_latencies,
    make_plan,
    planned_steps,
)
from controller.core.prospect import Badness, Prospect, Stretch
from controller.core.terms import Terms
from loadtests.decisions.traffic import FASTEST, USUAL, Behaviour, World, always, slower
from tests.support.rollout_world import BLUE_GREEN, CANARY, ROLLING, policy_of

#: A prediction and the median of simulated rollouts differ by this factor at most.
FACTOR = 2.0
RUNS = 15
LONGEST = 3000
LATENCIES = {place + FASTEST: round(1e6 * share) for place, share in enumerate(USUAL.tolist()) if share > 1e-6}


def planned(settings: str = CANARY, *, rate: float = 50.0, errors: float = 0.001) -> Plan:
    return make_plan(policy_of(settings), 4, Measured(rate, errors, LATENCIES))


def prospect(terms: Terms, rate: float, share: float, badness: Badness) -> Prospect:
    new, old = rate * share, rate * (1 - share)
    warm = float(terms.warm_up)
    return Prospect(terms, badness, [Stretch(0.0, warm, new, old, warms=True), Stretch(warm, LONGEST, new, old)])


def simulated(terms: Terms, world: World, share: float) -> list[float]:
    """When the real judge rolls back, in some simulated rollouts."""
    return [_rolled_back(terms, world, share, np.random.default_rng(seed)) for seed in range(RUNS)]


def _rolled_back(terms: Terms, world: World, share: float, rng: np.random.Generator) -> float:
    top = bin_of(terms.patience)
    before, _ = world.sample(rng, -300, 300, 0.0, 0.0)
    judge = Judge(terms, ((row - 300, before.bucket(row, top)) for row in range(300)))
    judge.begin_step(share, None)
    for begin in range(0, LONGEST, 20):
        old, new = world.sample(rng, begin, 20, share, 0.0)
        for row in range(20):
            if judge.take(begin + row, old.bucket(row, top), new.bucket(row, top)).failed:
                return begin + row + 3.0
    return math.inf


@pytest.mark.parametrize("warm_up", [0, 30])
@pytest.mark.parametrize(
    ("rate", "share", "usual", "bad"),
    [
        (50, 0.01, 0.001, 1.0),
        (50, 0.01, 0.001, 0.2),
        (50, 0.1, 0.001, 0.05),
        (1000, 0.01, 0.001, 0.05),
        (2, 0.5, 0.001, 0.2),
        (50, 0.1, 0.02, 0.1),
        (50, 0.5, 0.001, 0.05),
    ],
)
def test_error_rates_are_rolled_back_when_the_plan_says(
    rate: float, share: float, usual: float, bad: float, warm_up: int
):
    terms = Terms(latency=None, warm_up=warm_up)
    times = simulated(terms, World("", always(rate), Behaviour(always(usual)), Behaviour(always(bad))), share)
    plan = prospect(terms, rate, share, Badness(usual, bad, {}))
    expected, surely = plan.time(0.5), plan.time(SURELY)
    assert expected is not None
    assert surely is not None
    assert median(times) / FACTOR <= expected <= FACTOR * median(times)
    assert sum(time <= FACTOR * surely for time in times) >= SURELY * RUNS


@pytest.mark.parametrize(("rate", "share", "bins"), [(50, 0.1, 4), (50, 0.01, 8), (500, 0.05, 4), (50, 0.5, 4)])
def test_slow_versions_are_rolled_back_when_the_plan_says(rate: float, share: float, bins: int):
    terms = Terms(errors=None, warm_up=0)
    slow = Behaviour(latency=slower(USUAL, math.pow(2.0, bins / 8)))
    times = simulated(terms, World("", always(rate), new=slow), share)
    expected = prospect(terms, rate, share, Badness(0.001, 0.0, LATENCIES, bins)).time(0.5)
    assert expected is not None
    assert median(times) / FACTOR <= expected <= FACTOR * median(times)


def test_a_version_that_becomes_bad_late_is_found_later_than_an_early_one():
    stretches = [Stretch(0, 600, 5, 45), Stretch(600, 1200, 5, 45)]
    early, late = (Prospect(Terms(warm_up=0), Badness(0.001, 0.05, {}), stretches, begin) for begin in (0.0, 600.0))
    first, second = early.time(0.5), late.time(0.5)
    assert first is not None
    assert second is not None
    assert 0 < first < second - 600


@given(mean=st.floats(-50, 50), deviation=st.floats(1e-9, 50), skew=st.floats(-2, 2), needed=st.floats(-50, 50))
def test_a_chance_lies_between_0_and_1(mean: float, deviation: float, skew: float, needed: float):
    assert 0 <= chance_of(Cumulants(mean, deviation**2, skew * deviation**3), needed) <= 1


def test_a_sum_of_jumps_has_the_chance_of_a_poisson_variable():
    two_each = Cumulants(6.0 - 1.0, 12.0, 24.0)  # three jumps of 2, less 1
    assert chance_of(two_each, 4.9) == pytest.approx(1 - sum(math.exp(-3) * 3**k / math.factorial(k) for k in range(3)))


def test_what_is_seen_at_the_end_of_a_step_was_seen_with_that_chance():
    forecast = planned().forecasts[0]
    assert forecast.errors is not None
    for rate, is_seen in ((1.05 * forecast.errors, True), (0.95 * forecast.errors, False)):
        chance = prospect(Terms(), 50, 0.01, Badness(0.001, rate, {})).chance(600)
        assert (chance >= SURELY) == is_seen


def test_later_steps_and_more_traffic_never_see_less():
    for plan in (planned(rate=10), planned(rate=100)):
        seen = [forecast.errors or 1.0 for forecast in plan.forecasts]
        assert seen == sorted(seen, reverse=True)
        slower_by = [forecast.slower or 64.0 for forecast in plan.forecasts]
        assert slower_by == sorted(slower_by, reverse=True)
    few, many = planned(rate=10).forecasts[0], planned(rate=100).forecasts[0]
    assert (few.errors or 1.0) > (many.errors or 1.0)


def test_requests_are_counted_by_share_and_bake():
    assert [round(forecast.requests) for forecast in planned().forecasts] == [300, 3000, 15000, 30000]
    assert [forecast.begins for forecast in planned().forecasts] == [0, 600, 1200, 1800]


def test_the_breaker_is_told_where_it_is_faster():
    broken = planned().forecasts[0].rollbacks[-1]
    assert (broken.error_rate, broken.by, round(broken.median or 0)) == (1.0, "breaker", 10)
    assert planned(f"{CANARY}, breaker: off").forecasts[0].rollbacks[-1].by == "error-rate"
    assert planned().forecasts[-1].rollbacks[-1].by == "error-rate"  # nobody is left to compare with


def test_an_error_rate_within_the_margin_is_never_rolled_back():
    plan = planned(f"{CANARY}, breaker: off, checks: [{{kind: error_rate, worse_by: {{points: 10}}}}]")
    assert [each.median is None for each in plan.forecasts[1].rollbacks] == [True, False, False]


def test_a_step_that_sees_nothing_useful_is_warned_of_and_every_offer_helps():
    plan = planned(rate=10)
    first, offers = plan.forecasts[0], plan.offers
    assert first.is_blind
    assert offers is not None
    assert offers.bake is not None
    assert offers.share is not None
    assert offers.rate is not None
    longer, higher = f"steps: [{{weight: 1, bake: {offers.bake + 1}}}]", f"steps: [{{weight: {100 * offers.share}}}]"
    assert not planned(f"{CANARY}, {longer}", rate=10).forecasts[0].is_blind
    assert not planned(f"{CANARY}, {higher}", rate=10).forecasts[0].is_blind
    assert not planned(rate=1.01 * offers.rate).forecasts[0].is_blind
    words = list(sentences(plan))
    assert words[0].startswith(
        "Step 1 (1%): at 0.1 requests per second on the new version, 10m cannot see an error rate of 5%"
    )
    assert words[1] == "The first step that sees it is step 2."
    assert "bake it" in words[2]
    assert "with Locust" in words[2]


def test_a_plan_with_good_sight_says_nothing():
    assert (list(sentences(planned(rate=200))), planned(rate=200).offers) == ([], None)


def test_without_traffic_nothing_is_seen_and_that_is_said():
    plan = planned(rate=0.0)
    assert [(each.requests, each.errors, each.slower) for each in plan.forecasts] == [(0, None, None)] * 4
    assert next(sentences(plan)).startswith("There is no traffic")


def test_what_no_check_looks_at_is_said():
    plan = planned(f"{CANARY}, checks: [{{kind: signal}}]")
    assert [each.errors for each in plan.forecasts] == [None] * 4
    assert list(sentences(plan)) == [
        "No check of this rollout compares error rates: no error is ever seen.",
        "No check of this rollout compares latencies: no slowness is ever seen.",
    ]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (f"{CANARY}, steps: [{{weight: 5}}], hold_back: 2%", [PlannedStep(0.05, 600, 30)]),
        (
            f"{CANARY}, steps: [{{weight: 5}}, {{weight: 100, bake: 1m}}], hold_back: 2%",
            [PlannedStep(0.05, 600, 30), PlannedStep(0.98, 60, 0)],
        ),
        (BLUE_GREEN, [PlannedStep(1.0, 600, 30)]),
        (ROLLING, [PlannedStep(share, 30, 30) for share in (0.25, 0.5, 0.75, 1.0)]),
    ],
)
def test_every_strategy_has_its_steps(settings: str, steps: list[PlannedStep]):
    assert planned_steps(policy_of(settings), 4) == steps


def test_a_switch_is_compared_with_the_past_of_the_old_version():
    forecast: Forecast = planned(BLUE_GREEN).forecasts[0]
    assert forecast.errors is not None
    assert not forecast.is_blind


def test_assumed_latencies_have_the_median_that_was_asked_for():
    assert quantile(assumed_latencies(0.04), 0.5) == pytest.approx(0.04, rel=0.1)
