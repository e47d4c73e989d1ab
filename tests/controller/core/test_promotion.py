"""Bounds for the next step: they hold, they come with traffic, and small steps need none."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.baseline import Baseline
from controller.core.buckets import Bucket, bin_of
from controller.core.promotion import (
    BETA,
    BUDGET,
    HORIZON,
    STRICT,
    ErrorBound,
    LatencyBound,
    is_small,
    limit_for,
    shift_asked,
)

TOP = bin_of(2.0)
MARGIN = 0.005
FAST = {-40: 10, -36: 60, -32: 25, -20: 5}


def usual(latencies: dict[int, int] = FAST) -> Baseline:
    baseline = Baseline()
    baseline.learn(Bucket(1000, 1, 0, {index: 10 * count for index, count in latencies.items()}))
    return baseline


def bound_after(seconds: int, errors: int = 0) -> ErrorBound:
    bound = ErrorBound(MARGIN)
    for _ in range(seconds):
        bound.update(10, errors, 90, 0, 0.001)
    return bound


def test_without_traffic_nothing_is_sure():
    bound = ErrorBound(MARGIN)
    bound.update(0, 0, 90, 0, 0.001)
    bound.update(10, 0, 0, 0, 0.001)
    assert bound.bound == 1.0


def test_it_falls_with_traffic_down_to_the_margin():
    bounds = [bound_after(seconds).bound for seconds in (1, 10, 100, 1000)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(MARGIN)


def test_a_version_that_fails_is_never_surely_good():
    assert bound_after(200, errors=10).bound == 1.0


def test_it_is_about_what_no_error_in_so_many_requests_allows():
    assert bound_after(20).bound == pytest.approx(math.log(1 / BETA) / 200 * 4 / 3, rel=0.5)


def test_a_new_step_begins_anew():
    bound = bound_after(100)
    bound.reset()
    assert bound.bound == 1.0


@pytest.mark.parametrize("excess", [0.02, 0.1])
def test_at_most_a_share_beta_of_worse_versions_gets_a_bound_below_their_excess(excess):
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(300):
        bound = ErrorBound(MARGIN)
        of_new, of_old = rng.binomial(10, 0.001 + excess, 60), rng.binomial(90, 0.001, 60)
        for errors, old in zip(of_new.tolist(), of_old.tolist(), strict=True):
            bound.update(10, errors, 90, old, 0.001)
        wrong += bound.bound < excess
    assert wrong <= 300 * BETA


@given(st.floats(0, 1e4), st.floats(0.001, 0.5))
def test_a_step_that_exposes_few_requests_needs_no_evidence(rate, share):
    exposed = rate * share * HORIZON
    assert (limit_for(MARGIN, rate, share) >= 1) == (exposed <= BUDGET) == is_small(rate, share)


@given(st.floats(0, 1e4))
def test_the_majority_always_needs_evidence(rate):
    assert limit_for(MARGIN, rate, 1.0) <= STRICT
    assert not is_small(rate, 1.0)


@given(st.floats(0, 0.2), st.floats(0, 1e6), st.floats(0.001, 1.0))
def test_a_version_within_the_margin_can_pass(margin, rate, share):
    assert limit_for(margin, rate, share) >= 2 * margin


def test_early_steps_rule_out_twice_as_slow_and_the_last_one_more_than_the_margin():
    assert (shift_asked(2, 0.1), shift_asked(2, 1.0), shift_asked(12, 0.1)) == (8, 3, 13)


@pytest.mark.parametrize(("slower", "reached"), [(0, True), (1, True), (3, False), (8, False)])
def test_being_slower_than_three_bins_is_refuted_for_those_who_are_not(slower, reached):
    bound, baseline = LatencyBound(3, TOP), usual()
    new = Bucket(100, 0, 0, {index + slower: count for index, count in FAST.items()})
    for _ in range(20):
        bound.update(new, Bucket(100, 0, 0, FAST), baseline)
    assert bound.reached is reached


def test_without_a_past_of_the_old_version_nothing_is_refuted():
    bound = LatencyBound(3, TOP)
    bound.update(Bucket(100, 0, 0, FAST), Bucket(100, 0, 0, FAST), Baseline())
    assert not bound.reached


def test_bounds_go_on_from_json():
    bound, latency, baseline = bound_after(3), LatencyBound(3, TOP), usual()
    same = Bucket(10, 0, 0, {index: 1 for index in FAST})
    latency.update(same, same, baseline)
    restored, restored_latency = ErrorBound(MARGIN), LatencyBound(3, TOP)
    restored.restore(json.loads(json.dumps(bound.to_plain())))
    restored_latency.restore(json.loads(json.dumps(latency.to_plain())))
    for _ in range(20):
        for errors in (bound, restored):
            errors.update(10, 0, 90, 0, 0.001)
        for latencies in (latency, restored_latency):
            latencies.update(same, same, baseline)
        assert restored.to_plain() == bound.to_plain()
        assert restored_latency.to_plain() == latency.to_plain()
