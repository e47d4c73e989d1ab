"""Buckets from the seconds of a proxy: their bins, what they count, and that workers' counts just add up."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.buckets import (
    EMPTY,
    HIGHEST,
    LOWEST,
    Binning,
    Bucket,
    bin_of,
    lower_bound,
    quantile,
    tail_bin,
)

PATIENCE = 2.0
TOP = bin_of(PATIENCE)
BOUNDS = [0.0, *(1e-6 * 1.03**i for i in range(640))]
BINNING = Binning(BOUNDS, PATIENCE)

fine_bins = st.dictionaries(st.integers(0, len(BOUNDS) - 1), st.integers(1, 50), max_size=6)
counts = st.integers(0, 50)


def told(requests: int, errors: int, aborted: int, in_flight: int) -> dict[str, int]:
    numbers = {"requests": requests, "errors": errors, "aborted": aborted, "in_flight": in_flight}
    return {**numbers, "client_errors": 0}


@st.composite
def seconds(draw):
    bins, errors, in_flight, aborted = draw(fine_bins), draw(counts), draw(counts), draw(counts)
    requests = sum(bins.values()) + errors + in_flight + aborted
    named = {str(index): count for index, count in bins.items()}
    return {**told(requests, errors, aborted, in_flight), "client_errors": draw(counts), "bins": named}


def summed(first, second):
    bins = dict(first["bins"])
    for index, count in second["bins"].items():
        bins[index] = bins.get(index, 0) + count
    return {key: first[key] + second[key] for key in first if key != "bins"} | {"bins": bins}


@given(seconds(), seconds())
def test_adding_workers_before_or_after_binning_gives_the_same_bucket(first, second):
    assert BINNING.bucket(summed(first, second)) == BINNING.bucket(first) + BINNING.bucket(second)


@given(seconds(), seconds(), seconds())
def test_the_order_of_adding_makes_no_difference(a, b, c):
    first, second, third = (BINNING.bucket(second) for second in (a, b, c))
    assert (first + second) + third == third + (second + first)
    assert first + EMPTY == first


@given(seconds())
def test_every_request_that_did_not_fail_has_a_latency_of_patience_at_most(second):
    bucket = BINNING.bucket(second)
    assert sum(bucket.latencies.values()) == second["requests"] - second["errors"] - second["aborted"]
    assert all(index <= TOP for index in bucket.latencies)


def test_a_bucket_counts_what_its_clients_waited_for():
    bins = {"0": 3, str(len(BOUNDS) - 1): 2}
    second = {**told(10, 1, 2, 2), "client_errors": 3, "bins": bins}
    assert BINNING.bucket(second) == Bucket(8, 1, 2, {LOWEST: 3, TOP: 4}, client_errors=3)


def test_a_bin_that_was_not_announced_is_refused():
    with pytest.raises(IndexError):
        BINNING.bucket({**told(1, 0, 0, 0), "bins": {str(len(BOUNDS)): 1}})


@given(st.floats(1e-5, 100.0))
def test_a_latency_lies_in_its_bin(latency):
    index = bin_of(latency)
    assert lower_bound(index) * (1 - 1e-12) <= latency < lower_bound(index + 1) * (1 + 1e-12)


@pytest.mark.parametrize(("latency", "index"), [(0.0, LOWEST), (1e-9, LOWEST), (1e9, HIGHEST), (1.0, 0), (2.0, 8)])
def test_bins_have_ends(latency, index):
    assert bin_of(latency) == index


def test_a_quantile_is_in_the_bin_where_its_share_is_reached():
    latencies = {0: 50, 8: 49, 16: 1}
    middle = math.pow(2, 1 / 16)
    assert quantile(latencies, 0.5) == pytest.approx(middle)
    assert quantile(latencies, 0.99) == pytest.approx(2 * middle)
    assert quantile(latencies, 1.0) == pytest.approx(4 * middle)
    assert quantile({}, 0.5) is None


@pytest.mark.parametrize(("share", "first"), [(0.0, HIGHEST + 1), (0.01, 16), (0.5, 8), (1.0, 0)])
def test_the_tail_begins_where_at_most_its_share_is(share, first):
    assert tail_bin({0: 50, 8: 49, 16: 1}, share) == (first if share else HIGHEST + 1)
