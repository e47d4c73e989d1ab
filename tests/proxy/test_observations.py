"""Observations: what the counters show each second becomes a history, whatever ends late, dies or moves away."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.histogram import BINS, LOWER, UNIT
from proxy.core.outcome import Outcome
from proxy.core.stats import Rates
from proxy.observations import Observations
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.lives import a_config, a_live

SECOND = 1_000_000_000
START = 5000  # the second in which every test begins


class Clock:
    """A clock that tests move; it shows the middle of a second."""

    def __init__(self) -> None:
        self.second = START

    def __call__(self) -> int:
        return self.second * SECOND + SECOND // 2


class Watched:
    """A supervisor, its observations and the time."""

    def __init__(self, workers: int = 1) -> None:
        self.clock = Clock()
        self.supervisor = FakeSupervisor(workers=workers)
        self.observations = Observations(self.supervisor, self.clock)

    def attempts(self, *outcomes: Outcome | None, version: str = "canary", worker: int = 0) -> None:
        for outcome in outcomes:
            self.supervisor.attempt(version, outcome, worker=worker, began=self.clock())

    def end(self, began: int, outcome: Outcome = Outcome.OK) -> None:
        """End an attempt of the canary that began in second `began`."""
        slots = self.supervisor.slots
        places = slots.version("shop", "canary"), slots.endpoint("shop", "canary", "127.0.0.1:9003")
        began_ns = began * SECOND + SECOND // 2
        self.supervisor.slabs[0].end_attempt(*places, outcome, began_ns, self.clock())

    def pass_seconds(self, number: int = 1) -> None:
        """Harvest at the end of each second."""
        for _ in range(number):
            self.observations.harvest(self.clock())
            self.clock.second += 1

    def canary(self, seconds: int = 900) -> dict[str, Any]:
        self.observations.harvest(self.clock())
        stats: dict[str, Any] = self.observations.stats(seconds)["services"]["shop"]["canary"]
        return stats

    def line(self, second: int) -> list[int] | None:
        """requests, done, errors, aborted, in flight of one second of the canary."""
        for seen in self.canary()["seconds"]:
            if seen["t"] == second:
                return [seen[key] for key in ("requests", "done", "errors", "aborted", "in_flight")]
        return None


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_the_answer_has_every_version_and_the_bounds_of_the_bins(watched: Watched):
    watched.attempts(Outcome.OK, Outcome.RESET)
    watched.observations.harvest(watched.clock())
    silent = {"seconds": [], "in_flight": 0, "in_flight_older": 0}
    answer = watched.observations.stats(10)
    bounds = answer.pop("bin_lower_bounds_seconds")
    assert bounds == list(LOWER[:BINS])
    index = next(i for i in reversed(range(BINS)) if round(LOWER[i] / UNIT) <= 1_000_000 >> 10)
    numbers = {"requests": 2, "done": 2, "errors": 1, "aborted": 0, "client_errors": 0, "in_flight": 0}
    second = {"t": START, **numbers, "bins": {str(index): 1}}
    assert answer == {
        "now": START,
        "clock": "monotonic",
        "services": {
            "shop": {"stable": silent, "canary": {"seconds": [second], "in_flight": 0, "in_flight_older": 0}},
            "cart": {"blue": silent, "green": silent},
        },
    }


def test_only_the_services_that_are_asked_for_are_answered(watched: Watched):
    watched.observations.harvest(watched.clock())
    assert list(watched.observations.stats(10, ["cart", "unknown"])["services"]) == ["cart"]


def test_only_the_seconds_that_are_asked_for_are_answered(watched: Watched):
    for _ in range(5):
        watched.attempts(Outcome.OK)
        watched.pass_seconds()
    watched.attempts(Outcome.OK)
    assert [second["t"] for second in watched.canary(3)["seconds"]] == [START + 3, START + 4, START + 5]


def test_workers_add_up():
    watched = Watched(workers=3)
    for worker in range(3):
        watched.attempts(Outcome.OK, Outcome.FIVE_XX, Outcome.ABORTED, None, worker=worker)
    assert watched.line(START) == [12, 9, 3, 3, 3]
    assert watched.canary()["in_flight"] == 3


class TestLateEnds:
    def test_the_numbers_of_a_second_rise_until_it_leaves_the_ring(self, watched: Watched):
        watched.attempts(None, None)
        for second in range(15):
            assert watched.line(START) == [2, 0, 0, 0, 2]
            assert watched.clock.second == START + second
            watched.pass_seconds()
        watched.end(START, Outcome.TIMEOUT)
        assert watched.line(START) == [2, 1, 1, 0, 1]
        assert watched.canary()["in_flight_older"] == 0

    def test_what_is_unfinished_then_stays_visible_for_as_long_as_it_is_in_flight(self, watched: Watched):
        watched.attempts(None, None)
        watched.pass_seconds(16)
        stats = watched.canary()
        assert (stats["in_flight"], stats["in_flight_older"]) == (2, 2)
        watched.pass_seconds(100)
        watched.end(START)
        stats = watched.canary()
        assert (stats["in_flight"], stats["in_flight_older"]) == (1, 1)
        assert watched.line(START) == [2, 0, 0, 0, 2]
        watched.end(START)
        stats = watched.canary()
        assert (stats["in_flight"], stats["in_flight_older"]) == (0, 0)

    def test_old_and_new_in_flight_are_told_apart(self, watched: Watched):
        watched.attempts(None)
        watched.pass_seconds(20)
        watched.attempts(None, None, None, Outcome.OK)
        stats = watched.canary()
        assert (stats["in_flight"], stats["in_flight_older"]) == (4, 1)

    def test_a_second_that_was_missed_is_read_when_the_loop_runs_again(self, watched: Watched):
        """Our own process stood still for ten seconds."""
        watched.attempts(Outcome.OK)
        watched.clock.second += 10
        assert watched.line(START) == [1, 1, 0, 0, 0]


class TestDeadWorkers:
    def test_what_a_killed_worker_left_open_is_settled_as_aborted(self, watched: Watched):
        watched.attempts(Outcome.OK, None, None)
        watched.pass_seconds()
        slot = watched.supervisor.slots.version("shop", "canary")
        watched.supervisor.slabs[0].bury([slot], [])
        assert watched.line(START) == [3, 3, 0, 2, 0]
        assert watched.canary()["in_flight"] == 0

    def test_it_settles_what_is_older_than_the_ring_too(self, watched: Watched):
        watched.attempts(None)
        watched.pass_seconds(20)
        watched.supervisor.slabs[0].bury([watched.supervisor.slots.version("shop", "canary")], [])
        assert watched.canary()["in_flight_older"] == 0


class TestHistory:
    def test_it_keeps_fifteen_minutes(self, watched: Watched):
        for _ in range(1000):
            watched.attempts(Outcome.OK)
            watched.pass_seconds()
        watched.attempts(Outcome.OK)
        seconds = [second["t"] for second in watched.canary(5000)["seconds"]]
        assert seconds == list(range(START + 101, START + 1001))

    def test_a_quiet_version_loses_its_history_too(self, watched: Watched):
        watched.attempts(Outcome.OK)
        watched.pass_seconds(900)
        assert watched.line(START) is None

    def test_versions_come_and_go_with_the_live_state(self, watched: Watched):
        watched.attempts(Outcome.OK)
        watched.pass_seconds()
        shop = {"versions": {"stable": {}, "next": {}}, "split": {"stable": 1}}
        watched.supervisor.live = a_live(a_config({"shop": shop}))
        watched.observations.harvest(watched.clock())
        assert {s: list(v) for s, v in watched.observations.stats(10)["services"].items()} == {
            "shop": ["stable", "next"]
        }
        assert watched.observations.rates("shop", "canary") == Rates(0.0, None, None, None)

    def test_a_slot_that_starts_again_starts_the_history_again(self, watched: Watched):
        watched.attempts(Outcome.OK, Outcome.OK)
        watched.pass_seconds()
        watched.supervisor.slabs[0].clear_version(watched.supervisor.slots.version("shop", "canary"))
        watched.attempts(Outcome.OK)
        assert [second["t"] for second in watched.canary()["seconds"]] == [START + 1]


class TestFigures:
    def test_rates_at_the_beginning_are_of_the_seconds_that_there_were(self, watched: Watched):
        watched.attempts(*[Outcome.OK] * 30)
        watched.pass_seconds(3)
        watched.observations.harvest(watched.clock())
        assert watched.observations.rates("shop", "canary", 10).per_second == 10.0

    def test_rates_leave_out_the_second_that_is_not_over(self, watched: Watched):
        watched.pass_seconds(10)
        watched.attempts(*[Outcome.OK] * 19, Outcome.FIVE_XX)
        watched.pass_seconds()
        watched.attempts(*[Outcome.RESET] * 50)
        watched.observations.harvest(watched.clock())
        rates = watched.observations.rates("shop", "canary", 10)
        assert replace(rates, p50=None, p99=None) == Rates(2.0, 0.05, None, None)
        assert rates.p50 == rates.p99 == pytest.approx(0.001, rel=1 / 32)

    def test_actual_shares_are_those_of_the_decisions_of_the_last_minute(self, watched: Watched):
        slots, slab = watched.supervisor.slots, watched.supervisor.slabs[0]
        canary, stable = slots.version("shop", "canary"), slots.version("shop", "stable")
        watched.pass_seconds()
        for _ in range(50):
            slab.choose(canary, True)
        watched.pass_seconds(61)
        assert watched.observations.actual_shares("shop") == {}
        for version in [canary] + [stable] * 3:
            slab.choose(version, True)
        watched.pass_seconds()
        assert watched.observations.actual_shares("shop") == {"stable": 0.75, "canary": 0.25}

    def test_an_unknown_service_has_no_shares(self, watched: Watched):
        assert watched.observations.actual_shares("nothing") == {}


steps = st.one_of(
    st.tuples(st.just("start"), st.integers(0, 1)),
    st.tuples(st.just("end"), st.sampled_from([Outcome.OK, Outcome.TIMEOUT, Outcome.ABORTED])),
    st.tuples(st.just("pass"), st.integers(1, 12)),
)


@settings(max_examples=200)
@given(st.lists(steps, max_size=60))
def test_whatever_happens_the_history_agrees_with_what_was_counted(todo: list[tuple[str, int]]):
    """Two workers; attempts end in any order and at any time. Seconds freeze 16 seconds after they began."""
    watched = Watched(workers=2)
    slots = watched.supervisor.slots
    places = slots.version("shop", "canary"), slots.endpoint("shop", "canary", "127.0.0.1:9003")
    in_flight: list[tuple[int, int]] = []
    expected: dict[int, list[int]] = {}
    for kind, value in todo:
        now = watched.clock.second
        if kind == "start":
            in_flight.append((value, now))
            watched.supervisor.slabs[value].start_attempt(*places, watched.clock())
            expected.setdefault(now, [0, 0, 0, 0])[0] += 1
        elif kind == "end" and in_flight:
            worker, began = in_flight.pop(0)
            watched.supervisor.slabs[worker].end_attempt(*places, value, began * SECOND, watched.clock())
            if now - began < 16:
                expected[began][1] += 1
                expected[began][2] += value == Outcome.TIMEOUT
                expected[began][3] += value == Outcome.ABORTED
        elif kind == "pass":
            watched.pass_seconds(value)
    stats = watched.canary()
    seen = {s["t"]: [s["requests"], s["done"], s["errors"], s["aborted"]] for s in stats["seconds"]}
    assert seen == expected
    assert all(sum(second["bins"].values()) == second["done"] - second["errors"] for second in stats["seconds"])
    assert stats["in_flight"] == len(in_flight)
    assert stats["in_flight_older"] == sum(began <= watched.clock.second - 16 for _, began in in_flight)
