"""Latency bins: quantiles of them are near the true ones, and adding histograms is adding their samples."""

from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.histogram import BINS, LINEAR, LOWER, OCTAVES, UNIT, added, coarsen, middle, quantile

# Whole units, as the counters cut them; up to the last bin, which has no end.
units = st.integers(0, (64 << OCTAVES) - 1)
latencies = st.lists(units, min_size=1, max_size=100)


def binned(samples: list[int]) -> dict[int, int]:
    return dict(Counter(max(i for i in range(BINS) if LOWER[i] <= sample * UNIT) for sample in samples))


def test_bounds_rise_and_join():
    assert LOWER[0] == 0
    assert list(LOWER) == sorted(set(LOWER))
    assert len(LOWER) == BINS + 1


def test_a_bin_is_at_most_a_thirty_second_of_its_value_wide():
    assert all(LOWER[i + 1] - LOWER[i] <= LOWER[i] / 32 * (1 + 1e-12) for i in range(LINEAR, BINS - 1))
    assert all(LOWER[i + 1] - LOWER[i] == pytest.approx(UNIT) for i in range(LINEAR))


def test_the_bins_reach_from_microseconds_to_minutes():
    assert LOWER[1] < 50e-6
    assert 100 < LOWER[BINS - 1] < 180


@given(latencies, st.floats(0, 1))
def test_a_quantile_is_within_a_thirty_second_of_the_true_one(samples: list[int], q: float):
    rank = max(1, ceil(q * len(samples)))
    true = sorted(samples)[rank - 1] * UNIT
    found = quantile(binned(samples), q)
    assert found is not None
    assert abs(found - true) <= true / 32 + UNIT


def test_an_empty_histogram_has_no_quantile():
    assert quantile({}, 0.5) is None


def test_what_is_longer_than_all_bins_shows_as_the_last_bound():
    assert quantile({BINS - 1: 3}, 0.99) == middle(BINS - 1) == LOWER[BINS - 1]


@given(latencies, latencies)
def test_adding_histograms_is_adding_their_samples(one: list[int], other: list[int]):
    assert added([binned(one), binned(other)]) == binned(one + other)


def test_the_sum_of_nothing_is_empty():
    assert added([]) == {}


@given(latencies, st.lists(st.floats(1e-5, 100), min_size=1, max_size=15, unique=True).map(sorted))
def test_coarse_buckets_are_cumulative_and_lose_nobody(samples: list[int], bounds: list[float]):
    counts = coarsen(binned(samples), bounds)
    assert len(counts) == len(bounds) + 1
    assert counts == sorted(counts)
    assert counts[-1] == len(samples)


@given(latencies, st.floats(1e-5, 100))
def test_a_coarse_bucket_holds_what_is_clearly_below_and_nothing_clearly_above(samples: list[int], bound: float):
    below, _ = coarsen(binned(samples), [bound])
    slack = bound / 32 + UNIT
    assert sum(sample * UNIT < bound - slack for sample in samples) <= below
    assert below <= sum(sample * UNIT <= bound + slack for sample in samples)


def test_the_endless_bin_is_below_no_bound():
    assert coarsen({BINS - 1: 2}, [1.0, 1e9]) == [0, 0, 2]
