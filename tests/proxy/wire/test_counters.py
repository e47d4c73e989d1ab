"""The counters in shared memory: what one process writes, any other reads, whole and at once."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import histogram
from proxy.core.outcome import Outcome, Reason
from proxy.wire import counters
from proxy.wire.counters import Slab

SECOND = 1_000_000_000
NOW = 1000 * SECOND

WRITER = f"""
import sys
from proxy.wire.counters import Slab
slab = Slab(int(sys.argv[1]), 0)
for _ in range(int(sys.argv[2])):
    slab.start_attempt(1, 1, {NOW})
    slab.end_attempt(1, 1, 0, {NOW}, {NOW})
"""

outcomes = st.sampled_from(Outcome)
durations = st.integers(0, 200 * SECOND) | st.integers(0, 100_000)


def new_slabs(workers: int = 1, versions: int = 8, endpoints: int = 8) -> list[Slab]:
    """Fresh counters; the mappings live on when the descriptor is closed."""
    fd = counters.create(workers, versions, endpoints)
    try:
        return [Slab(fd, worker) for worker in range(workers)]
    finally:
        os.close(fd)


@pytest.fixture
def slab() -> Slab:
    return new_slabs()[0]


@pytest.fixture
def memory() -> Iterator[int]:
    fd = counters.create(2, 8, 8)
    yield fd
    os.close(fd)


def attempt(slab: Slab, outcome: Outcome = Outcome.OK, began: int = NOW, duration: int = 1_000_000) -> None:
    slab.start_attempt(1, 1, began)
    slab.end_attempt(1, 1, outcome, began, began + duration)


class TestAttempts:
    def test_an_attempt_counts_in_the_second_in_which_it_began(self, slab: Slab):
        attempt(slab, began=NOW + SECOND - 1, duration=3 * SECOND)
        began = NOW // SECOND
        assert slab.read_second(1, began) == (1, 1, 0, 0, 0, {histogram_bin(3 * SECOND): 1})
        assert slab.read_second(1, began + 3) is None

    def test_an_attempt_is_in_flight_from_its_start_to_its_end(self, slab: Slab):
        slab.start_attempt(1, 2, NOW)
        assert slab.read_version(1)["in_flight"] == slab.read_endpoint(2)["in_flight"] == 1
        slab.end_attempt(1, 2, Outcome.OK, NOW, NOW)
        assert slab.read_version(1)["in_flight"] == slab.read_endpoint(2)["in_flight"] == 0

    @given(st.lists(st.tuples(outcomes, durations), max_size=50))
    def test_every_attempt_ends_in_exactly_one_outcome(self, ends: list[tuple[Outcome, int]]):
        (slab,) = new_slabs()
        for outcome, duration in ends:
            attempt(slab, outcome, duration=duration)
        seen = Counter(outcome for outcome, _ in ends)
        endpoint = slab.read_endpoint(1)
        assert endpoint["outcomes"][: len(Outcome)] == [seen[outcome] for outcome in Outcome]
        bins = Counter(histogram_bin(duration) for outcome, duration in ends if not outcome.is_failure)
        failed = sum(outcome.is_failure for outcome, _ in ends)
        expected = (
            (len(ends), len(ends), failed, seen[Outcome.ABORTED], seen[Outcome.FOUR_XX], dict(bins)) if ends else None
        )
        assert slab.read_second(1, NOW // SECOND) == expected

    def test_what_ends_after_its_second_left_the_ring_is_in_the_totals_alone(self, slab: Slab):
        slab.start_attempt(1, 1, NOW)
        attempt(slab, began=NOW + 16 * SECOND)
        slab.end_attempt(1, 1, Outcome.TIMEOUT, NOW, NOW + 30 * SECOND)
        assert slab.read_second(1, NOW // SECOND) is None
        assert slab.read_second(1, NOW // SECOND + 16) == (1, 1, 0, 0, 0, {histogram_bin(1_000_000): 1})
        assert slab.read_endpoint(1)["outcomes"][Outcome.TIMEOUT] == 1

    def test_sixteen_seconds_stay_open_beside_each_other(self, slab: Slab):
        for second in range(40):
            for _ in range(second + 1):
                attempt(slab, began=second * SECOND)
        read = [slab.read_second(1, second) for second in range(40)]
        assert [second and second[0] for second in read] == [None] * 24 + list(range(25, 41))


class TestRequests:
    @given(
        st.lists(
            st.tuples(st.integers(100, 599), st.sampled_from(Reason), durations, st.integers(1, 3)),
            max_size=50,
        )
    )
    def test_totals_are_kept_apart_by_version_status_and_reason(self, requests: list[tuple[int, Reason, int, int]]):
        (slab,) = new_slabs()
        for status, reason, duration, version in requests:
            slab.end_request(version, status, reason, duration)
        for version in (1, 2, 3):
            mine = [request[:3] for request in requests if request[3] == version]
            totals = slab.read_version(version)
            assert totals["requests"] == Counter(status for status, _, _ in mine)
            assert totals["reasons"] == Counter(int(reason) for _, reason, _ in mine if reason)
            assert totals["bins"] == Counter(histogram_bin(duration) for _, _, duration in mine)
            assert totals["duration_ns"] == sum(duration for _, _, duration in mine)

    def test_choices_that_found_no_endpoint_are_counted_apart(self, slab: Slab):
        slab.choose(1, True)
        slab.choose(1, False)
        totals = slab.read_version(1)
        assert (totals["chosen"], totals["unavailable"]) == (2, 1)


class TestBins:
    @given(durations | st.integers(-5, 2**62))
    def test_a_duration_lies_within_the_bounds_of_its_bin(self, duration: int):
        (slab,) = new_slabs()
        attempt(slab, duration=duration)
        second = slab.read_second(1, NOW // SECOND)
        assert second is not None
        (index,) = second[5]
        # The bounds are whole multiples of the unit: compare in units, where nothing is rounded.
        units = max(0, duration) >> 10
        assert round(histogram.LOWER[index] / histogram.UNIT) <= units
        assert index == histogram.BINS - 1 or units < round(histogram.LOWER[index + 1] / histogram.UNIT)

    def test_every_bin_begins_at_its_lower_bound(self, slab: Slab):
        for index in range(histogram.BINS):
            slab.clear_version(1)
            slab.end_request(1, 200, 0, round(histogram.LOWER[index] / histogram.UNIT) << 10)
            assert slab.read_version(1)["bins"] == {index: 1}


class TestLooks:
    """`read_pulse` and `read_ring` say of many versions whether there is anything new to read."""

    def test_a_pulse_moves_with_every_start_and_every_end(self, slab: Slab):
        pulses = [slab.read_pulse(1)]
        slab.choose(1, True)
        slab.choose(1, False)
        slab.start_attempt(1, 1, NOW)
        pulses.append(slab.read_pulse(1))
        slab.end_attempt(1, 1, Outcome.OK, NOW, NOW)
        pulses.append(slab.read_pulse(1))
        assert pulses == [(0, 0, 0, 0), (1, 1, 2, 1), (1, 0, 2, 1)]

    @given(st.lists(st.tuples(st.integers(0, 15), st.booleans()), max_size=60), st.integers(0, 16))
    def test_the_ring_shows_what_began_and_what_ended_in_each_second(
        self, attempts: list[tuple[int, bool]], since: int
    ):
        (slab,) = new_slabs()
        for second, ended in attempts:
            slab.start_attempt(1, 1, NOW + second * SECOND)
            if ended:
                slab.end_attempt(1, 1, Outcome.OK, NOW + second * SECOND, NOW + 20 * SECOND)
        first = NOW // SECOND
        started = Counter(second for second, _ in attempts if second >= since)
        done = Counter(second for second, ended in attempts if ended)
        in_flight, marks = slab.read_ring(1, first + since)
        assert in_flight == sum(not ended for _, ended in attempts)
        assert sorted(marks) == [(first + second, started[second], done[second]) for second in sorted(started)]


class TestBurial:
    """The supervisor settles what a dead worker left open; nothing of it looks like a failure."""

    def test_unfinished_attempts_become_aborted_ones(self, slab: Slab):
        attempt(slab, Outcome.RESET)
        slab.start_attempt(1, 1, NOW)
        slab.start_attempt(1, 1, NOW + SECOND)
        slab.bury([1], [1])
        began = NOW // SECOND
        assert slab.read_second(1, began) == (2, 2, 1, 1, 0, {})
        assert slab.read_second(1, began + 1) == (1, 1, 0, 1, 0, {})
        assert slab.read_version(1)["in_flight"] == 0
        endpoint = slab.read_endpoint(1)
        assert (endpoint["in_flight"], sum(endpoint["outcomes"])) == (0, 1)

    @given(st.lists(st.tuples(outcomes, st.booleans()), max_size=30))
    def test_no_total_changes(self, attempts: list[tuple[Outcome, bool]]):
        (slab,) = new_slabs()
        for outcome, ends in attempts:
            slab.start_attempt(1, 1, NOW)
            if ends:
                slab.end_attempt(1, 1, outcome, NOW, NOW)
                slab.end_request(1, 200, 0, 0)
        before = {**slab.read_version(1), **slab.read_endpoint(1)}
        slab.bury([1], [1])
        after = {**slab.read_version(1), **slab.read_endpoint(1)}
        assert after == before | {"in_flight": 0, "connections": 0, "ejected": False}

    def test_a_second_burial_changes_nothing(self, slab: Slab):
        slab.start_attempt(1, 1, NOW)
        slab.bury([1], [1])
        once = slab.read_second(1, NOW // SECOND)
        slab.bury([1], [1])
        assert slab.read_second(1, NOW // SECOND) == once


class TestSharing:
    def test_each_worker_writes_its_own_slab(self, memory: int):
        first, second = Slab(memory, 0), Slab(memory, 1)
        attempt(first)
        assert first.read_version(1)["started"] == 1
        assert second.read_version(1)["started"] == 0

    def test_a_reader_of_another_process_sees_totals_that_only_rise(self, memory: int):
        total = 20_000
        reader = Slab(memory, 0)
        seen = [0]
        with subprocess.Popen([sys.executable, "-c", WRITER, str(memory), str(total)], pass_fds=[memory]) as writer:
            while writer.poll() is None:
                seen.append(reader.read_pulse(1)[0])
        assert writer.returncode == 0
        assert seen == sorted(seen)
        in_flight, marks = reader.read_ring(1, 0)
        assert (in_flight, marks) == (0, [(NOW // SECOND, total, total)])

    def test_a_new_worker_goes_on_counting_where_the_dead_one_stopped(self, memory: int):
        attempt(Slab(memory, 0))
        attempt(Slab(memory, 0))
        assert Slab(memory, 0).read_version(1)["started"] == 2

    def test_a_cleared_slot_is_empty_and_its_neighbours_are_not(self, slab: Slab):
        for version in (1, 2, 3):
            slab.start_attempt(version, version, NOW)
            slab.end_attempt(version, version, Outcome.OK, NOW, NOW)
        slab.clear_version(2)
        slab.clear_endpoint(2)
        assert [slab.read_version(version)["started"] for version in (1, 2, 3)] == [1, 0, 1]
        assert [sum(slab.read_endpoint(endpoint)["outcomes"]) for endpoint in (1, 2, 3)] == [1, 0, 1]


class TestRefusals:
    def test_memory_of_something_else_is_refused(self):
        fd = os.memfd_create("other")
        try:
            with pytest.raises(ValueError, match="not the shared counters of Serinus"):
                Slab(fd, 0)
        finally:
            os.close(fd)

    def test_another_layout_is_refused_and_named(self, memory: int):
        os.pwrite(memory, b"9:2:8:8:1:2:3".ljust(128, b"\0"), 12)
        with pytest.raises(ValueError, match=r"another layout \(9:2:8:8:1:2:3\): start all processes from one build"):
            Slab(memory, 0)

    def test_a_slab_beyond_the_last_is_refused(self, memory: int):
        with pytest.raises(ValueError, match="have 2 slabs, there is no number 2"):
            Slab(memory, 2)

    @pytest.mark.parametrize("slot", [-1, 8])
    def test_a_slot_outside_the_memory_is_refused(self, slab: Slab, slot: int):
        for read in (slab.read_version, slab.read_endpoint, slab.read_pulse, slab.clear_version, slab.clear_endpoint):
            with pytest.raises(IndexError, match=f"slot {slot} of 8"):
                read(slot)
        for read_since in (slab.read_second, slab.read_ring):
            with pytest.raises(IndexError, match=f"slot {slot} of 8"):
                read_since(slot, 0)
        with pytest.raises(IndexError, match=f"slot {slot} of 8"):
            slab.start_attempt(slot, 0, NOW)


def histogram_bin(duration_ns: int) -> int:
    """The bin of a duration by the bounds that readers use."""
    units = duration_ns >> 10
    return next(i for i in reversed(range(histogram.BINS)) if round(histogram.LOWER[i] / histogram.UNIT) <= units)
