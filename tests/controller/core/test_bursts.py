"""The guard against bad seconds: what one second may add, what it costs, and when a service counts as flaky."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.buckets import Bucket
from controller.core.bursts import FLAKY, SPOILED, Guard, bad_seconds_for, dispersion, unguarded

ALPHA = 0.01
amounts = st.floats(0.0, 50.0)
chances = st.floats(1e-6, 1.0)


@pytest.mark.parametrize("bad_seconds", [1, 2, 3])
@given(most=amounts, chance=chances)
def test_fewer_bad_seconds_than_asked_for_are_not_enough(bad_seconds, most, chance):
    worst = Guard(ALPHA, bad_seconds)(1000.0, most, chance)
    assert (bad_seconds - 1) * worst < math.log(1 / ALPHA)
    assert bad_seconds * worst <= math.log(1 / ALPHA)


@given(
    most=amounts,
    chance=chances,
    outcomes=st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(-20, 20)), min_size=1, max_size=8),
)
def test_with_a_share_of_spoiled_seconds_evidence_is_still_at_most_1_on_average(most, chance, outcomes):
    """Any e-value: the outcomes are weighted, and scaled so that E[e] = 1."""
    guard = Guard(ALPHA, 2)
    weight = math.fsum(p for p, _ in outcomes)
    mean = math.fsum(p * math.exp(log_e) for p, log_e in outcomes) / weight
    clean = math.fsum(p * math.exp(guard(log_e - math.log(mean), most, chance)) for p, log_e in outcomes) / weight
    spoiled = math.exp(guard(1000.0, most, chance))
    assert (1 - SPOILED) * clean + SPOILED * spoiled <= 1 + 1e-9


@given(st.floats(-50, 50), amounts, chances)
def test_it_never_adds_evidence(log_e, most, chance):
    assert Guard(ALPHA, 2)(log_e, most, chance) <= unguarded(log_e, most, chance)


def test_a_bet_on_something_rarer_than_spoiled_seconds_gains_nothing():
    assert Guard(ALPHA, 2)(5.0, 5.0, SPOILED / 2) == 0.0


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
