"""What the old version usually does."""

import pytest
from scipy.stats import binom

from controller.core.baseline import Baseline
from controller.core.buckets import Bucket


def having_seen(requests: int, errors: int, unanswered: int = 0) -> Baseline:
    baseline = Baseline()
    baseline.learn(Bucket(requests, errors, unanswered))
    return baseline


@pytest.mark.parametrize("doubt", [0.1, 0.001])
@pytest.mark.parametrize("requests", [1, 20, 300])
@pytest.mark.parametrize("rate", [0.001, 0.02, 0.3])
def test_its_rate_is_above_the_highest_one_that_is_possible_only_with_the_chance_of_doubt(
    requests: int, rate: float, doubt: float
):
    below = [k for k in range(requests + 1) if having_seen(requests, k).highest(doubt, 1.0) < rate]
    assert sum(binom.pmf(below, requests, rate)) <= doubt


def test_who_was_not_seen_to_fail_half_of_the_time_does_not_do_so():
    assert [having_seen(n, 0).highest(0.001, 1.0) for n in (0, 1)] == [0.5, 0.5]
    assert having_seen(10, 9).highest(0.001, 1.0) == pytest.approx(0.9)
    assert having_seen(10, 2).highest(0.001, 1.0) == 0.5


def test_much_traffic_leaves_little_doubt():
    assert having_seen(200, 0).highest(0.001, 1.0) == pytest.approx(0.034, abs=0.001)
    assert 0.01 < having_seen(10**6, 10**4).highest(0.001, 1.0) < 0.011


def test_errors_in_clusters_tell_less_and_requests_without_an_answer_are_as_bad():
    assert having_seen(1000, 10).highest(0.001, 5.0) > having_seen(1000, 10).highest(0.001, 1.0)
    assert having_seen(1000, 4, 6).highest(0.001, 1.0) == having_seen(1000, 10).highest(0.001, 1.0)
