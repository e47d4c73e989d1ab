"""The rule of the breaker, against attempts that are known one by one and sampled in any way."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from proxy.core.attempts import Counts
from proxy.core.blame import Blame
from proxy.core.breaking import CHANCE, GROSS, SURE, LastAttempts, Trip, chance, is_well

NOTHING = Counts()

rules = st.integers(1, 30).flatmap(lambda window: st.tuples(st.just(window), st.integers(1, window)))
#: Attempts in the order in which they ended, True for a failure, cut into samples.
sampled = st.lists(st.lists(st.booleans(), max_size=25), max_size=12)


def counts(attempts: list[bool]) -> Counts:
    return Counts(len(attempts), sum(attempts))


def newest(samples: list[list[bool]]) -> list[Counts]:
    """The newest one, two, three ... samples together."""
    return [counts([attempt for sample in samples[i:] for attempt in sample]) for i in range(len(samples))]


def trips(rule: tuple[int, int], samples: list[list[bool]]) -> list[bool]:
    """After which samples the breaker wants to open, beside a reference that never fails."""
    attempts = LastAttempts(*rule)
    return [attempts.add(counts(sample), Counts(10, 0)) is not None for sample in samples]


@given(rules, st.lists(st.booleans(), max_size=80))
def test_seen_one_by_one_it_trips_at_exactly_the_attempt_that_is_one_too_many(
    rule: tuple[int, int], attempts: list[bool]
):
    window, fails = rule
    expected = [sum(attempts[max(0, n - window) : n]) >= fails and attempts[n - 1] for n in range(1, len(attempts) + 1)]
    assert trips(rule, [[attempt] for attempt in attempts]) == expected


@given(rules, sampled)
def test_enough_failures_in_whole_samples_within_the_window_trip_for_certain(
    rule: tuple[int, int], samples: list[list[bool]]
):
    """Rule 1, at any sampling."""
    window, fails = rule
    for n, tripped in enumerate(trips(rule, samples), start=1):
        suffixes = newest(samples[:n])
        certain = any(suffix.attempts <= window and suffix.failures >= fails for suffix in suffixes)
        if certain and any(samples[n - 1]):
            assert tripped


@given(rules, sampled)
def test_it_never_trips_below_the_share_of_the_rule(rule: tuple[int, int], samples: list[list[bool]]):
    """Rule 2: the newest samples that trip it have enough failures and, beyond the window, enough of a share."""
    window, fails = rule
    attempts = LastAttempts(window, fails)
    for n, sample in enumerate(samples, start=1):
        trip = attempts.add(counts(sample), NOTHING)
        if trip is None:
            continue
        assert trip.version in newest(samples[:n])
        assert trip.version.failures >= fails
        assert trip.version.failures / max(window, trip.version.attempts) >= fails / window - 1e-12


@given(rules, sampled)
def test_it_remembers_no_more_samples_than_the_window_needs(rule: tuple[int, int], samples: list[list[bool]]):
    attempts = LastAttempts(*rule)
    for sample in samples:
        attempts.add(counts(sample), NOTHING)
    assert len(attempts._samples) <= rule[0]


@given(rules, sampled)
def test_a_version_that_does_not_fail_never_trips(rule: tuple[int, int], samples: list[list[bool]]):
    assert not any(trips(rule, [[False] * len(sample) for sample in samples]))


def test_a_version_that_fails_at_once_trips_before_its_window_is_full():
    assert trips((20, 5), [[True], [True], [True], [True], [True]]) == [False] * 4 + [True]


def test_a_thousand_requests_at_once_are_judged_by_their_share():
    assert LastAttempts(20, 5).add(Counts(1000, 249), NOTHING) is None
    assert LastAttempts(20, 5).add(Counts(1000, 250), NOTHING) == Trip(Counts(1000, 250), NOTHING)


def test_failures_of_an_hour_ago_do_not_count_once_the_window_has_passed_over_them():
    assert trips((20, 5), [[True] * 4, [False] * 20, [True] * 4]) == [False, False, False]


class TestTheReference:
    def test_a_failing_reference_keeps_the_breaker_closed(self):
        attempts = LastAttempts(20, 5)
        assert attempts.add(Counts(5, 5), Counts(100, 90)) is None

    def test_it_trips_when_the_reference_recovers_and_the_version_does_not(self):
        attempts = LastAttempts(20, 5)
        assert attempts.add(Counts(20, 20), Counts(100, 90)) is None
        assert attempts.add(Counts(20, 20), Counts(100, 0)) == Trip(Counts(20, 20), Counts(100, 0))

    def test_it_is_judged_over_the_same_time(self):
        """What the reference did while the version was silent belongs to the version's next sample."""
        attempts = LastAttempts(4, 2)
        assert attempts.add(NOTHING, Counts(50, 20)) is None
        assert attempts.add(NOTHING, Counts(50, 20)) is None
        trip = attempts.add(Counts(2, 2), Counts(100, 0))
        assert trip == Trip(Counts(2, 2), Counts(200, 40))

    @pytest.mark.parametrize(
        ("reference", "well"),
        [
            (Counts(0, 0), True),  # silence says nothing against it
            (Counts(100, 0), True),
            (Counts(100, 12), True),
            (Counts(100, 13), False),  # more than half of 25 %
            (Counts(100, 100), False),
        ],
    )
    def test_it_is_well_when_it_fails_at_most_half_as_often(self, reference: Counts, well: bool):
        assert is_well(Trip(Counts(20, 5), reference)) is well

    @given(rules, st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=12))
    def test_a_fault_of_both_is_never_blamed_on_one(self, rule: tuple[int, int], samples: list[tuple[int, int]]):
        attempts = LastAttempts(*rule)
        for ended, failed in samples:
            same = Counts(ended, min(ended, failed))
            assert attempts.add(same, same) is None


class TestBesideAReferenceThatHasRequestsToo:
    def test_what_can_be_no_chance_trips_at_once(self):
        attempts = LastAttempts(20, 5, Blame())
        trip = Trip(Counts(5, 5), Counts(45, 0))
        assert attempts.add(trip.version, trip.reference, 0.1) == trip

    def test_what_may_be_chance_does_not(self):
        """Half of all requests fail; five in a row of one version are nothing special."""
        attempts = LastAttempts(20, 5, Blame())
        assert attempts.add(Counts(5, 5), Counts(5, 2), 0.5) is None
        assert LastAttempts(20, 5).add(Counts(5, 5), Counts(5, 2)) is not None

    def test_five_of_twenty_may_be_a_cold_start_and_six_may_not(self):
        for failures, trips in ((5, False), (6, True)):
            attempts = LastAttempts(20, 5, Blame())
            for attempt in range(20):
                trip = attempts.add(Counts(1, attempt < failures), Counts(99, 0), 0.01)
                assert (trip is not None) <= trips or attempt < 16
            assert (attempts.add(Counts(1, 1), Counts(99, 0), 0.01) is not None) is trips

    def test_a_silent_reference_says_nothing(self):
        assert LastAttempts(20, 5, Blame()).add(Counts(20, 20), NOTHING, 0.1) is None

    def test_a_version_that_becomes_bad_after_a_good_past_trips_by_its_newest_attempts(self):
        attempts = LastAttempts(20, 5, Blame())
        for _ in range(200):
            assert attempts.add(Counts(1, 0), Counts(9, 0), 0.1) is None
        tripped = [attempts.add(Counts(1, 1), Counts(9, 0), 0.1) is not None for _ in range(7)]
        assert tripped.index(True) <= 6

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9], ids=lambda share: f"{share:.0%} of the requests")
    @pytest.mark.parametrize("failing", [0.02, 0.1, 0.3, 0.9], ids=lambda failing: f"{failing:.0%} fail")
    def test_a_fault_of_both_is_blamed_on_nobody(self, share: float, failing: float):
        """Three minutes of fifty requests a second, dealt by lot, three times over."""
        lot = random.Random(7)
        for _ in range(3):
            attempts = LastAttempts(20, 5, Blame())
            for _ in range(1800):
                new = sum(lot.random() < share for _ in range(5))
                fails = [lot.random() < failing for _ in range(5)]
                assert attempts.add(counts(fails[:new]), counts(fails[new:]), share) is None

    @given(st.integers(1, 400), st.integers(0, 400), st.floats(0.001, 0.5))
    def test_the_chance_is_that_of_the_binomial_distribution(self, n: int, k: int, rate: float):
        k = max(min(n, k), math.ceil(n * rate))
        expected = float(binom.sf(k - 1, n, rate))
        assert chance(Counts(n, k), rate) == pytest.approx(expected, rel=0.02, abs=1e-300)

    @given(rules, st.lists(st.tuples(*[st.integers(0, 20)] * 4), max_size=40), st.floats(0.01, 0.99))
    def test_it_never_trips_by_what_may_be_chance(
        self, rule: tuple[int, int], samples: list[tuple[int, int, int, int]], share: float
    ):
        blame = Blame()
        attempts = LastAttempts(*rule, blame)
        for good, bad, good_beside, bad_beside in samples:
            trip = attempts.add(Counts(good + bad, bad), Counts(good_beside + bad_beside, bad_beside), share)
            if trip is not None:
                assert is_well(trip)
                assert trip.reference.attempts > 0
                assert blame.odds >= SURE
                assert chance(trip.version, GROSS) <= CHANCE


def test_the_reason_says_what_was_counted():
    assert Trip(Counts(20, 5), NOTHING).reason == "5 of the last 20 requests failed"
