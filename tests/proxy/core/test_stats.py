"""Seconds of a version: workers add up, histories keep a quarter of an hour, figures come from whole seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import stats
from proxy.core.histogram import BINS, LOWER, added
from proxy.core.stats import History, Rates, Second

# No machine does more in a second.
counts = st.integers(0, 2**28)
bins = st.dictionaries(st.integers(0, BINS - 1), counts, max_size=8)
readings = st.tuples(counts, counts, counts, counts, counts, bins)


def second(started: int, done: int, failed: int = 0, aborted: int = 0, bins: dict[int, int] | None = None) -> Second:
    return Second.of([(started, done, failed, aborted, 0, bins or {})])


@given(st.lists(readings, max_size=4))
def test_workers_just_add_up(workers: list[stats.Reading]):
    total = Second.of(workers)
    assert total.started == sum(worker[0] for worker in workers)
    assert total.done == sum(worker[1] for worker in workers)
    assert total.failed == sum(worker[2] for worker in workers)
    assert total.aborted == sum(worker[3] for worker in workers)
    assert total.client_errors == sum(worker[4] for worker in workers)
    assert total.bins == added(worker[5] for worker in workers)


@given(readings)
def test_a_record_gives_back_what_it_was_made_of(reading: stats.Reading):
    record = Second.of([reading])
    whole = (record.started, record.done, record.failed, record.aborted, record.client_errors, record.bins)
    assert whole == reading


def test_a_record_is_small():
    """Rule 3: 40 different latencies take 8 bytes each."""
    assert len(second(40, 40, bins=dict.fromkeys(range(40), 1)).packed) == 320


def test_what_has_not_ended_is_in_flight():
    assert second(10, 7).in_flight == 3


class TestRates:
    def test_silence_has_no_shares_and_no_quantiles(self):
        assert stats.rates([], 10) == Rates(per_second=0.0, error_share=None, p50=None, p99=None)

    def test_several_seconds_are_taken_together(self):
        found = stats.rates([second(98, 98, 1, bins={100: 97, 300: 1}), second(2, 2, 1, bins={100: 2})], 10)
        middle = (LOWER[100] + LOWER[101]) / 2
        assert found == Rates(per_second=10.0, error_share=0.02, p50=middle, p99=middle)

    def test_what_is_in_flight_counts_as_traffic_alone(self):
        assert stats.rates([second(10, 4, 1)], 1) == Rates(per_second=10.0, error_share=0.25, p50=None, p99=None)

    def test_clients_that_went_away_say_nothing_about_the_version(self):
        assert stats.rates([second(10, 10, 2, 6)], 1).error_share == 0.5
        assert stats.rates([second(10, 10, 0, 10)], 1).error_share is None


class TestShares:
    def test_decisions_become_shares(self):
        assert stats.shares({"stable": 99, "canary": 1}) == {"stable": 0.99, "canary": 0.01}

    @pytest.mark.parametrize("chosen", [{}, {"stable": 0, "canary": 0}])
    def test_without_decisions_there_are_none(self, chosen: dict[str, int]):
        assert stats.shares(chosen) == {}


class TestHistory:
    @given(st.lists(st.tuples(st.integers(0, 50), counts), max_size=60), st.integers(0, 50), st.integers(0, 50))
    def test_it_gives_the_newest_numbers_of_each_second_in_order(
        self, puts: list[tuple[int, int]], first: int, last: int
    ):
        history = History()
        for at, started in puts:
            history.put(at, second(started, 0))
        newest = dict(puts)
        expected = [(at, second(newest[at], 0)) for at in sorted(newest) if first <= at <= last]
        assert history.between(first, last) == expected

    def test_it_forgets_what_is_older(self):
        history = History()
        for at in range(100):
            history.put(at, second(1, 1))
        history.forget_before(60)
        assert [at for at, _ in history.between(0, 200)] == list(range(60, 100))
        assert history.get(59) is None

    @given(st.lists(st.integers(0, 10), max_size=200))
    def test_it_counts_the_decisions_of_the_last_minute(self, decisions: list[int]):
        history, total = History(), 0
        history.note_chosen(0)
        for number in decisions:
            total += number
            history.note_chosen(total)
        assert history.chosen == sum(decisions[-60:])

    def test_its_repr_says_what_is_going_on(self):
        history = History()
        history.put(1, second(3, 1))
        history.in_flight, history.in_flight_older = 5, 3
        assert repr(history) == "<History 1 seconds, in flight 5, older 3>"
