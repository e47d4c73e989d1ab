"""What keeps evidence from counting: warm-up, caches that fill, an outage of both, seconds too quiet to compare."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.buckets import EMPTY, Bucket
from controller.core.caches import Caches
from controller.core.gathering import ENOUGH, LONGEST, Gathering
from controller.core.outage import TOO_LONG, OutageWatch
from controller.core.warmup import WARM_UP, WarmUp

USUAL = 0.001


class TestWarmUp:
    def test_it_begins_with_the_first_request_and_lasts(self):
        clock = WarmUp()
        clock.tick(10, has_requests=False, stands_still=False)
        assert clock.left(10) == 0
        clock.tick(11, has_requests=True, stands_still=False)
        assert [clock.left(second) for second in (11, 40, 41, 50)] == [WARM_UP, 1, 0, 0]

    def test_another_instance_begins_it_again(self):
        clock = WarmUp()
        clock.tick(0, has_requests=True, stands_still=False)
        clock.begin_again()
        clock.tick(100, has_requests=True, stands_still=False)
        assert clock.left(100) == WARM_UP

    def test_it_stands_still_in_an_outage(self):
        clock = WarmUp()
        clock.tick(0, has_requests=True, stands_still=False)
        for second in range(1, 6):
            clock.tick(second, has_requests=True, stands_still=True)
        assert clock.left(6) == WARM_UP - 1


class TestCaches:
    @staticmethod
    def of(*slow: float) -> Caches:
        caches = Caches()
        for second, share in enumerate(slow):
            caches.update(second, 10, round(10 * share))
        return caches

    def test_they_fill_as_long_as_nothing_can_be_seen(self):
        assert Caches().are_filling
        assert self.of(1.0, 1.0).are_filling

    def test_they_fill_while_fewer_and_fewer_are_slow(self):
        assert self.of(*([0.8] * 20 + [0.4] * 20 + [0.1] * 20)).are_filling

    def test_a_version_that_stays_slow_is_slow(self):
        assert not self.of(*[0.5] * 60).are_filling

    def test_half_an_hour_is_enough(self):
        assert not self.of(*([1.0] * 600 + [0.0] * 1200)).are_filling

    def test_time_without_requests_before_the_first_does_not_count(self):
        caches = Caches()
        caches.update(0, 0, 0)
        caches.update(5000, 10, 5)
        assert caches.are_filling


class TestOutage:
    @staticmethod
    def pass_seconds(watch: OutageWatch, begin: int, end: int, old: float, new: float) -> None:
        for second in range(begin, end):
            watch.update(second, 10, round(10 * new), 100, round(100 * old), USUAL)

    def test_both_failing_is_one_until_the_old_version_is_well(self):
        watch = OutageWatch()
        self.pass_seconds(watch, 0, 10, 0.0, 0.0)
        assert watch.outage(9) is None
        self.pass_seconds(watch, 10, 20, 0.3, 0.3)
        outage = watch.outage(19)
        assert outage is not None
        assert (outage.since, outage.lasted, outage.asks_for_retreat) == (10, 9, False)
        self.pass_seconds(watch, 20, 60, 0.0, 0.0)
        assert watch.outage(59) is None

    def test_shortly_after_more_traffic_for_the_new_version_it_asks_for_retreat(self):
        watch = OutageWatch()
        watch.note_increase(0)
        self.pass_seconds(watch, 1, 30, 0.3, 0.3)
        outage = watch.outage(29)
        assert outage is not None
        assert outage.after_increase
        assert outage.asks_for_retreat

    def test_one_that_does_not_end_asks_for_retreat(self):
        watch = OutageWatch()
        self.pass_seconds(watch, 0, TOO_LONG + 2, 0.3, 0.3)
        outage = watch.outage(TOO_LONG + 1)
        assert outage is not None
        assert outage.asks_for_retreat

    def test_a_new_version_that_is_well_must_not_be_held_back(self):
        watch = OutageWatch()
        watch.note_increase(0)
        self.pass_seconds(watch, 1, 30, 0.3, 0.0)
        outage = watch.outage(29)
        assert outage is not None
        assert outage.new_is_better
        assert not outage.asks_for_retreat

    def test_the_new_version_alone_is_none(self):
        watch = OutageWatch()
        self.pass_seconds(watch, 0, 60, 0.0, 1.0)
        assert watch.outage(59) is None

    def test_one_error_of_a_quiet_version_is_none(self):
        watch = OutageWatch()
        for second in range(30):
            watch.update(second, 0, 0, 1, second == 10, USUAL)
            assert watch.outage(second) is None

    def test_silence_ends_it(self):
        watch = OutageWatch()
        self.pass_seconds(watch, 0, 20, 0.5, 0.5)
        for second in range(20, 4000):
            watch.update(second, 0, 0, 0, 0, USUAL)
        assert watch.outage(3999) is None


bins = st.dictionaries(st.integers(-9, 9), st.integers(1, 4))
buckets = st.builds(Bucket, st.integers(0, 8), st.integers(0, 3), st.integers(0, 2), bins)


class TestGathering:
    def test_a_busy_second_is_a_bucket_of_its_own(self):
        old, new = Bucket(ENOUGH), Bucket(1)
        assert Gathering().put(old, new) == (old, new)

    def test_silence_does_not_wait_for_ever(self):
        gathering = Gathering()
        assert [gathering.put(EMPTY, EMPTY) for _ in range(LONGEST)] == [*[None] * (LONGEST - 1), (EMPTY, EMPTY)]

    @given(st.lists(st.tuples(buckets, buckets), max_size=30))
    def test_nothing_is_lost_or_counted_twice(self, seconds: list[tuple[Bucket, Bucket]]):
        gathering = Gathering()
        given_old, given_new, taken_old, taken_new = EMPTY, EMPTY, EMPTY, EMPTY
        for old, new in seconds:
            given_old, given_new = given_old + old, given_new + new
            restored = Gathering()
            restored.restore(json.loads(json.dumps(gathering.to_plain())))
            gathering = restored
            together = gathering.put(old, new)
            if together:
                taken_old, taken_new = taken_old + together[0], taken_new + together[1]
        for _ in range(LONGEST):
            together = gathering.put(EMPTY, EMPTY)
            if together:
                taken_old, taken_new = taken_old + together[0], taken_new + together[1]
        assert (taken_old, taken_new) == (given_old, given_new)


@pytest.mark.parametrize("seconds", [1, 2, 3])
def test_quiet_seconds_are_compared_once_there_is_enough(seconds: int):
    gathering = Gathering()
    found = [gathering.put(Bucket(ENOUGH // seconds), EMPTY) for _ in range(seconds)]
    assert [pair is not None for pair in found] == [*[False] * (seconds - 1), True]
