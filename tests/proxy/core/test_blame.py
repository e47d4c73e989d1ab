"""Whose failures they are: a fair game at best while both versions fail alike, soon won when one fails by itself."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.attempts import Counts
from proxy.core.blame import ENOUGH, RATIO, Blame
from proxy.core.breaking import SURE

NOTHING = Counts()
shares = st.floats(0.001, 0.999)


def started(share: float) -> Blame:
    """Evidence of which all the money is on the table: a few failures that were as expected."""
    blame = Blame()
    for _ in range(3):
        blame.take(NOTHING, Counts(1, 1), share)
    return blame


class TestFairness:
    @given(shares, st.integers(1, 40), st.integers(0, 200), st.floats(0, 1))
    def test_of_any_number_of_failures_the_money_is_no_more_than_before_on_average(
        self, share: float, failures: int, good: int, part: float
    ):
        """The new one's failures are binomial, with the largest probability that a good version can have."""
        worst = part * RATIO * share / (RATIO * share + 1 - share)
        expected = 0.0
        for own in range(failures + 1):
            blame = started(share)
            # The counts lie as the weights say, so that only the failures are left to chance.
            attempts = failures + good
            counted = round(share * attempts)
            blame.take(
                Counts(max(own, counted), own), Counts(max(failures - own, attempts - counted), failures - own), share
            )
            chance = math.comb(failures, own) * worst**own * (1 - worst) ** (failures - own)
            expected += chance * blame.odds
        assert expected <= started(share).odds * (1 + 1e-9)

    @pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9], ids=lambda share: f"{share:.0%} of the requests")
    @pytest.mark.parametrize("failing", [0.02, 0.3, 0.9], ids=lambda failing: f"{failing:.0%} fail")
    def test_a_fault_of_both_makes_nobody_rich(self, share: float, failing: float):
        """Three minutes of fifty requests a second, looked at twenty times a second, twice over."""
        lot = random.Random(11)
        for _ in range(2):
            blame = Blame()
            for _ in range(3_600):
                found = [(lot.random() < share, lot.random() < failing) for _ in range(lot.choice((2, 3)))]
                own = [fails for is_own, fails in found if is_own]
                others = [fails for is_own, fails in found if not is_own]
                blame.take(Counts(len(own), sum(own)), Counts(len(others), sum(others)), share)
                assert blame.odds < SURE

    @given(shares)
    def test_it_begins_at_even_odds_and_good_answers_change_nothing(self, share: float):
        blame = Blame()
        assert blame.odds == 1
        blame.take(Counts(1000, 0), Counts(1000, 0), share)
        assert blame.odds == 1


class TestPower:
    @pytest.mark.parametrize(("share", "failures"), [(0.01, 2), (0.1, 4), (0.5, 12)])
    def test_a_version_that_fails_alone_is_found_out_after_so_many_failures(self, share: float, failures: int):
        blame = Blame()
        others = round((1 - share) / share)
        for _ in range(failures):
            assert blame.odds < SURE
            blame.take(Counts(1, 1), Counts(others, 0), share)
        assert blame.odds >= SURE

    def test_a_version_that_fails_alone_after_many_faults_of_both_is_found_out_too(self):
        blame = Blame()
        for _ in range(200):
            blame.take(Counts(1, 0), Counts(9, 1), 0.1)
        taken = 0
        while blame.odds < SURE:
            blame.take(Counts(1, 1), Counts(9, 0), 0.1)
            taken += 1
        assert taken <= 12

    @given(st.lists(st.tuples(*[st.integers(0, 1000)] * 4), max_size=60), shares)
    def test_numbers_stay_finite(self, looks: list[tuple[int, int, int, int]], share: float):
        blame = Blame()
        for good, bad, good_beside, bad_beside in looks:
            blame.take(Counts(good + bad, bad), Counts(good_beside + bad_beside, bad_beside), share)
            assert 0 <= blame.odds <= ENOUGH + 2


class TestRequestsThatDoNotFollowTheSplit:
    def test_previews_that_share_a_fault_are_not_evidence(self):
        """The weights give 1 % to the version; half of what is counted comes to it all the same."""
        blame = Blame()
        for _ in range(40):
            blame.take(Counts(5, 0), Counts(5, 0), 0.01)
        for _ in range(100):
            blame.take(Counts(5, 1), Counts(5, 1), 0.01)
            assert blame.odds < SURE

    def test_without_requests_of_the_other_version_in_its_share_nothing_can_be_said(self):
        blame = Blame()
        for _ in range(20):
            blame.take(Counts(100, 100), NOTHING, 1.0)
        assert blame.odds == 1
