"""Requests without a key: every version has its share at every moment, whatever the weights and however they change."""

import math
from collections import Counter
from itertools import accumulate, islice, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.splitting import Splitter

SMALLEST, LARGEST = 5e-324, 1.7976931348623157e308

one_weight = st.one_of(
    st.just(0.0),
    st.floats(0.01, 100),
    st.integers(0, 100).map(float),
    st.floats(SMALLEST, LARGEST),
)
some_weights = st.lists(one_weight, min_size=1, max_size=8).filter(any)
places = st.integers(0, 2**32 - 1)


def shares(weights: list[float]) -> list[float]:
    largest = max(weights)
    ratios = [weight / largest for weight in weights]
    return [ratio / math.fsum(ratios) for ratio in ratios]


def counts_so_far(choices: list[int], versions: int) -> list[list[int]]:
    """For each version, how many of the first 0, 1, 2, ... choices it got."""
    return [list(accumulate((choice == version for choice in choices), initial=0)) for version in range(versions)]


def forks(weights: list[float]) -> int:
    """How many forks a request passes at most: halving the versions, and one is enough where two have a weight."""
    return min(math.ceil(math.log2(len(weights))), sum(map(bool, weights)) - 1)


class TestShares:
    @given(some_weights, places, st.integers(1, 400))
    @example([1.0, 1.0, 1.0], 0, 400)
    @example([1.0, 0.0, 0.0, 1.0, 0.0], 0, 400)
    @example([99.0, 1.0], 2**32 - 1, 400)
    @example([SMALLEST, LARGEST], 1, 100)
    def test_over_any_run_of_requests_each_version_is_within_two_of_its_share_for_each_fork(
        self, weights: list[float], place: int, requests: int
    ):
        """A run is a window of the sequence; a prefix is one that begins at its start."""
        choices = list(islice(Splitter(weights, place), requests))
        for share, counts in zip(shares(weights), counts_so_far(choices, len(weights)), strict=True):
            ahead = [count - share * i for i, count in enumerate(counts)]
            assert max(ahead) - min(ahead) < 2 * forks(weights) + 0.001

    @given(some_weights, places, st.integers(0, 200))
    def test_no_version_is_ever_owed_one_request_for_each_fork_nor_owes_it(
        self, weights: list[float], place: int, requests: int
    ):
        splitter = Splitter(weights, place)
        for _ in islice(splitter, requests):
            assert all(abs(credit) < max(1, forks(weights)) for credit in splitter.credits())

    @given(some_weights, places, st.integers(0, 200))
    def test_credits_add_up_to_zero(self, weights: list[float], place: int, requests: int):
        splitter = Splitter(weights, place)
        list(islice(splitter, requests))
        assert math.fsum(splitter.credits()) == pytest.approx(0, abs=1e-12)

    @given(some_weights, places)
    def test_weight_0_is_never_chosen(self, weights: list[float], place: int):
        chosen = set(islice(Splitter(weights, place), 200))
        assert all(weights[version] > 0 for version in chosen)

    @given(st.integers(1, 8), st.data(), places)
    def test_a_version_that_has_everything_gets_everything(self, versions: int, data: st.DataObject, place: int):
        whole = data.draw(st.integers(0, versions - 1))
        weights = [0.0] * versions
        weights[whole] = data.draw(st.floats(SMALLEST, LARGEST))
        assert set(islice(Splitter(weights, place), 100)) == {whole}

    @pytest.mark.parametrize("place", [0, 1, 77, 2**31, 2**32 - 1])
    def test_one_in_a_hundred_is_one_in_every_hundred(self, place: int):
        """There is a grid of hundreds, somewhere, of which each holds one."""
        chosen = [i for i, choice in enumerate(islice(Splitter([99, 1], place), 10_000)) if choice == 1]
        grids = ([(at + start) // 100 for at in chosen] for start in range(100))
        assert any(all(b - a == 1 for a, b in pairwise(grid)) for grid in grids)

    def test_a_million_requests_do_not_drift(self):
        weights = [1 / 3, 1 / 7, 0.1, 0.0001]
        splitter = Splitter(weights, 12345)
        counts = Counter(islice(splitter, 1_000_000))
        for version, share in enumerate(shares(weights)):
            assert abs(counts[version] - 1_000_000 * share) < 4


class TestChance:
    """Which one of the requests that it is due each version gets is left to chance."""

    @pytest.mark.parametrize(
        ("weights", "period"),
        [
            ([1, 1], 2),
            ([9, 1], 10),
            ([99, 1], 100),
            ([3, 1], 2),
            ([2, 1], 3),
            ([2, 1, 1], 2),
            ([1, 2, 1], 4),
            ([1, 1, 1, 1], 4),
            ([90, 5, 4, 1], 20),
        ],
    )
    def test_what_comes_in_step_with_the_split_meets_all_versions_alike(self, weights: list[float], period: int):
        """Every period-th request is special: of these, each version gets its share, up to chance."""
        splits = [list(islice(Splitter(weights, seed * 7919), 40 * period)) for seed in range(50)]
        special = Counter(choice for choices in splits for choice in choices[::period])
        for version, share in enumerate(shares(weights)):
            spread = math.sqrt(share * (1 - share) / special.total())
            assert abs(special[version] / special.total() - share) < 5 * spread

    def test_a_place_in_every_hundred_is_as_good_as_any_other(self):
        chosen = [i for i, choice in enumerate(islice(Splitter([99, 1], 1234), 200_000)) if choice == 1]
        places = Counter(at // 10 % 10 for at in chosen)
        assert all(abs(places[tenth] - 200) < 5 * math.sqrt(200 * 0.9) for tenth in range(10))

    def test_the_order_in_every_pair_is_open(self):
        choices = list(islice(Splitter([1, 1], 99), 2000))
        grids = [choices, choices[1:]]
        pairs = [list(zip(grid[::2], grid[1::2], strict=False)) for grid in grids]
        (orders,) = [Counter(each) for each in pairs if not {(0, 0), (1, 1)} & set(each)]
        assert orders.keys() == {(0, 1), (1, 0)}
        assert abs(orders[0, 1] - 500) < 5 * math.sqrt(250)


class TestPlace:
    def test_the_start_is_spread_over_the_sequence(self):
        """Many workers that begin at random places do not all send their first request to the same version."""
        first = Counter(next(Splitter([9, 1], place * 42_949_673)) for place in range(100))
        assert 5 <= first[1] <= 15

    def test_the_same_place_gives_the_same_sequence(self):
        one, other = (list(islice(Splitter([3, 2, 1], 4711), 100)) for _ in range(2))
        assert one == other

    def test_a_place_is_taken_as_32_bits(self):
        assert list(islice(Splitter([3, 2, 1], 5), 50)) == list(islice(Splitter([3, 2, 1], 5 + 2**32), 50))


changes = st.lists(st.tuples(some_weights, st.integers(0, 50)), min_size=1, max_size=20)


class TestChanges:
    @given(st.integers(1, 8), st.data(), places)
    def test_whatever_the_changes_no_version_is_owed_more_than_one_request_for_each_fork(
        self, versions: int, data: st.DataObject, place: int
    ):
        weights = st.lists(one_weight, min_size=versions, max_size=versions).filter(any)
        splitter = Splitter(data.draw(weights), place)
        for wanted, requests in data.draw(st.lists(st.tuples(weights, st.integers(0, 40)), max_size=20)):
            splitter.reweigh(wanted)
            for choice in islice(splitter, requests):
                assert wanted[choice] > 0
                assert all(abs(credit) < max(1, forks([1] * versions)) for credit in splitter.credits())
            assert math.fsum(splitter.credits()) == pytest.approx(0, abs=1e-12)

    @given(st.lists(st.tuples(st.floats(0.5, 99.5), st.integers(0, 60)), min_size=1, max_size=50), places)
    def test_of_two_versions_each_is_within_two_requests_of_what_it_was_due_over_all_changes(
        self, ramp: list[tuple[float, int]], place: int
    ):
        splitter = Splitter([99, 1], place)
        due = got = 0.0
        for percent, requests in ramp:
            splitter.reweigh([100 - percent, percent])
            for choice in islice(splitter, requests):
                due += percent / 100
                got += choice
                assert abs(got - due) < 2.001

    @given(some_weights, places, st.integers(0, 100))
    def test_the_same_weights_again_change_nothing(self, weights: list[float], place: int, requests: int):
        changed, left = Splitter(weights, place), Splitter(weights, place)
        for _ in range(requests):
            changed.reweigh(weights)
            assert next(changed) == next(left)

    @given(some_weights, places, st.integers(-20, 20))
    def test_only_the_ratio_of_weights_counts(self, weights: list[float], place: int, power: int):
        weights = [weight if 1e-200 < weight < 1e200 else 1.0 for weight in weights]
        scaled = [weight * 2.0**power for weight in weights]
        assert list(islice(Splitter(weights, place), 50)) == list(islice(Splitter(scaled, place), 50))

    def test_a_change_does_not_begin_the_sequence_anew(self):
        """Weights that change with every request still give a canary its 1 %."""
        splitter = Splitter([99, 1], 99)
        chosen = 0
        for i in range(10_000):
            splitter.reweigh([99 + i % 2 * 1e-6, 1])
            chosen += next(splitter)
        assert abs(chosen - 100) <= 2

    def test_a_version_comes_back_from_weight_0_without_a_debt(self):
        splitter = Splitter([1, 1], 0)
        next(splitter)
        splitter.reweigh([1, 0])
        assert splitter.credits() == [0, 0]
        splitter.reweigh([1, 1])
        assert Counter(islice(splitter, 100)) == {0: 50, 1: 50}


class TestErrors:
    @pytest.mark.parametrize("weights", [[], [0], [0.0, 0], [1, -1], [-0.5, 2], [math.inf], [1, math.nan], [math.nan]])
    def test_weights_that_are_no_split_are_refused(self, weights: list[float]):
        with pytest.raises(ValueError, match="weights must be finite, not negative and not all zero"):
            Splitter(weights)

    @pytest.mark.parametrize("weights", [[0, 0], [1, -1], [math.nan, 1]])
    def test_a_refused_change_leaves_the_sequence_as_it_is(self, weights: list[float]):
        splitter, left = Splitter([2, 1], 7), Splitter([2, 1], 7)
        with pytest.raises(ValueError, match="weights must be finite"):
            splitter.reweigh(weights)
        assert list(islice(splitter, 30)) == list(islice(left, 30))

    def test_a_change_names_as_many_weights_as_there_are_versions(self):
        with pytest.raises(ValueError, match="2 versions, 3 weights"):
            Splitter([1, 1]).reweigh([1, 1, 1])
