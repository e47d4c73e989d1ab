"""The guard against bad seconds: what one second may add, what it costs, and when a service counts as flaky."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.buckets import Bucket
from controller.core.bursts import (
    FLAKY,
    SPOILED,
    SPOILED_BY_A_REQUEST,
    Guard,
    bad_seconds_for,
    bound,
    dispersion,
    unguarded,
)

ALPHA = 0.01
MANY = 1000
amounts = st.floats(0.0, 50.0)
chances = st.floats(1e-6, 1.0)
requests = st.integers(1, MANY)


@pytest.mark.parametrize("bad_seconds", [1, 2, 3])
@given(most=amounts, chance=chances, n=requests, weight=st.sampled_from([0.1, 1.0]))
def test_fewer_bad_seconds_than_asked_for_are_not_enough(bad_seconds, most, chance, n, weight):
    worst = Guard(ALPHA, bad_seconds, weight)(1000.0, most, chance, n)
    assert 1 - weight + weight * math.exp((bad_seconds - 1) * worst) < 1 / ALPHA
    assert weight * math.exp(bad_seconds * worst) <= (1 + 1e-9) / ALPHA


@given(
    most=amounts,
    chance=chances,
    n=requests,
    outcomes=st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(-20, 20)), min_size=1, max_size=8),
)
def test_with_a_share_of_spoiled_seconds_evidence_is_still_at_most_1_on_average(most, chance, n, outcomes):
    """Any e-value: the outcomes are weighted, and scaled so that E[e] = 1."""
    guard = Guard(ALPHA, 2)
    weight = math.fsum(p for p, _ in outcomes)
    mean = math.fsum(p * math.exp(log_e) for p, log_e in outcomes) / weight
    clean = math.fsum(p * math.exp(guard(log_e - math.log(mean), most, chance, n)) for p, log_e in outcomes) / weight
    spoiled = math.exp(guard(1000.0, most, chance, n))
    share = min(SPOILED, SPOILED_BY_A_REQUEST * n)
    assert (1 - share) * clean + share * spoiled <= 1 + 1e-9


@given(st.floats(-50, 50), amounts, chances)
def test_it_never_adds_evidence(log_e, most, chance):
    assert Guard(ALPHA, 2)(log_e, most, chance, MANY) <= unguarded(log_e, most, chance, MANY)


@given(st.floats(-50, 50), amounts, chances)
def test_where_no_seconds_are_bad_there_is_no_bound(log_e, most, chance):
    assert bound(ALPHA, 0)(log_e, most, chance, MANY) == log_e
    assert bound(ALPHA, 2)(log_e, most, chance, MANY) == Guard(ALPHA, 2)(log_e, most, chance, MANY)


def test_a_bet_on_something_rarer_than_spoiled_seconds_gains_nothing():
    assert Guard(ALPHA, 2)(5.0, 5.0, SPOILED / 2, MANY) == 0.0


def test_a_second_with_few_requests_pays_less():
    quiet, busy = (Guard(ALPHA, 2)(1.0, 2.0, 1.0, requests) for requests in (1, MANY))
    assert busy < quiet < 1.0


def failing(*errors: int) -> list[Bucket]:
    return [Bucket(50, count) for count in errors]


def test_independent_errors_do_not_come_together():
    rng = random.Random(1)
    buckets = failing(*(sum(rng.random() < 0.05 for _ in range(50)) for _ in range(600)))
    assert dispersion(buckets) == pytest.approx(1.0, abs=0.2)


def test_errors_in_bursts_ask_for_more_bad_seconds():
    spread = dispersion(failing(*([0] * 99 + [15]) * 3))
    assert spread > FLAKY
    assert (bad_seconds_for(spread), bad_seconds_for(1.0)) == (3, 2)


def test_a_drift_is_no_burst():
    assert dispersion(failing(*(i // 20 for i in range(200)))) < FLAKY


@pytest.mark.parametrize("buckets", [[], failing(0, 0), failing(3, 4), failing(50, 50), [Bucket(), Bucket(20, 10)]])
def test_where_errors_tell_nothing_they_are_taken_as_independent(buckets):
    assert dispersion(buckets) == 1.0
