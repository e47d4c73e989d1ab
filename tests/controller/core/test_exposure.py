"""The alarm for a split that is not as it says: silent for any fair deal, loud when requests are lost."""

import json
import math
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from controller.core.buckets import EMPTY, Bucket
from controller.core.exposure import SETTLES, TOLERANCE, Exposure
from proxy.core.splitting import Splitter

PATIENCE = 2.0
SHARES = [0.01, 0.1, 0.5, 0.9]


def at(share: float) -> Exposure:
    """Past what was under way when the share changed."""
    exposure = Exposure(PATIENCE)
    exposure.begin_step(share)
    exposure.update(-100, EMPTY, EMPTY)
    return exposure


def feed(exposure: Exposure, old: int, new: int, seconds: range) -> bool:
    """Whether it is alarmed at any moment."""
    alarms = []
    for second in seconds:
        exposure.update(second, Bucket(old), Bucket(new))
        alarms.append(exposure.verdict is not None)
    return any(alarms)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("times", [1 / TOLERANCE, 1.0, TOLERANCE])
def test_the_evidence_of_a_second_is_at_most_1_on_average_within_the_tolerance(share: float, n: int, times: float):
    odds = times * share / (1 - share)
    total = 0.0
    for k in range(n + 1):
        exposure = at(share)
        exposure.update(0, Bucket(n - k), Bucket(k))
        total += binom.pmf(k, n, odds / (1 + odds)) * exposure._mixture.value
    assert total <= 1 + 1e-9


@pytest.mark.parametrize("share", SHARES)
def test_the_deal_of_the_proxy_is_never_alarming(share: float):
    """Three proxies, each with a sequence of its own."""
    splitters = [Splitter([1 - share, share], place) for place in (1, 2**31, 2**32 - 1)]
    exposure = at(share)
    for second in range(500):
        dealt = [version for splitter in splitters for version in islice(splitter, 7)]
        exposure.update(second, Bucket(dealt.count(0)), Bucket(dealt.count(1)))
        assert exposure.verdict is None


def test_users_who_stick_are_not_alarming_although_some_ask_much_more_than_others():
    rng = np.random.default_rng(5)
    for _ in range(20):
        weights = rng.lognormal(sigma=1.0, size=2000)
        share = weights[rng.random(2000) < 0.1].sum() / weights.sum()
        exposure = at(0.1)
        for second in range(300):
            new = int(rng.binomial(100, share))
            exposure.update(second, Bucket(100 - new), Bucket(new))
            assert exposure.verdict is None


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=8), st.sampled_from(SHARES))
def test_few_requests_are_never_alarming(seconds: list[tuple[int, int]], share: float):
    exposure = at(share)
    for second, (old, new) in enumerate(seconds):
        exposure.update(second, Bucket(old), Bucket(new))
    assert exposure.verdict is None


@pytest.mark.parametrize(("old", "new"), [(98, 2), (60, 40)])
def test_it_says_what_should_be_and_is(old: int, new: int):
    exposure = at(0.1)
    assert feed(exposure, old, new, range(200))
    assert exposure.verdict is not None
    assert (exposure.verdict.check, exposure.verdict.value) == ("split", "INCONCLUSIVE")
    assert f"gets {new}% of the requests, and should get 10%" in exposure.verdict.reason
    assert exposure.verdict.numbers == {"share": pytest.approx(new / 100), "weight": 0.1}


def test_it_ends_when_the_share_is_right_again_and_begins_when_it_goes_wrong_late():
    exposure = at(0.1)
    assert not feed(exposure, 90, 10, range(600))
    assert feed(exposure, 40, 60, range(600, 700))
    feed(exposure, 90, 10, range(700, 1000))
    assert exposure.verdict is None


def test_what_was_under_way_when_the_share_changed_is_not_held_against_it():
    exposure = at(0.1)
    feed(exposure, 900, 100, range(50))
    exposure.begin_step(0.5)
    settled = 50 + SETTLES + math.ceil(PATIENCE)
    assert not feed(exposure, 900, 100, range(50, settled))
    assert not feed(exposure, 500, 500, range(settled, 200))


def test_a_very_busy_service_is_no_trouble():
    assert feed(at(0.01), 0, 100_000, range(50))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_nothing_or_everything_is_not_tested(share: float):
    assert not feed(at(share), 500, 500, range(100))


def test_it_goes_on_where_it_was_kept():
    exposure = at(0.1)
    feed(exposure, 95, 5, range(10))
    again = Exposure(PATIENCE)
    again.restore(json.loads(json.dumps(exposure.to_plain())))
    for other in (exposure, again):
        feed(other, 98, 2, range(10, 60))
    assert again.to_plain() == exposure.to_plain()
