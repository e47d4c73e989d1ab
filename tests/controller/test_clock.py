"""The rollout clock goes on through restarts, and no other clock can turn it."""

import json
from pathlib import Path

import pytest

from controller.clock import Clock, boot_id


class Hands:
    """The machine's clocks."""

    def __init__(self, monotonic: float = 1000.0, wall: float = 1.7e9, boot: str = "one") -> None:
        self.monotonic, self.wall, self.boot = monotonic, wall, boot

    def clock(self, folder: Path, not_before: float = 0.0, not_before_wall: float = 0.0) -> Clock:
        return Clock(
            folder,
            not_before,
            not_before_wall,
            monotonic=lambda: self.monotonic,
            wall=lambda: self.wall,
            boot=self.boot,
        )

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


def test_it_begins_at_nothing(tmp_path: Path):
    clock = Hands().clock(tmp_path)
    assert (clock.now(), clock.last_alive) == (0.0, None)


def test_it_goes_on_through_a_restart_and_knows_when_it_was_last_alive(tmp_path: Path):
    hands = Hands()
    clock = hands.clock(tmp_path)
    hands.pass_by(50)
    clock.keep()
    hands.pass_by(20)
    again = hands.clock(tmp_path)
    assert (again.now(), again.last_alive) == (70.0, 50.0)


@pytest.mark.parametrize("set_by", [3600.0, -3600.0])
def test_the_time_of_day_may_be_set_as_one_likes(tmp_path: Path, set_by: float):
    hands = Hands()
    hands.clock(tmp_path).keep()
    hands.wall += set_by
    hands.pass_by(10)
    assert hands.clock(tmp_path).now() == 10.0


@pytest.mark.parametrize(("away", "at"), [(300.0, 400.0), (-300.0, 100.0)])
def test_after_a_boot_it_goes_on_by_the_clock_on_the_wall_and_never_back(tmp_path: Path, away: float, at: float):
    hands = Hands()
    clock = hands.clock(tmp_path)
    hands.pass_by(100)
    clock.keep()
    booted = Hands(monotonic=3.0, wall=hands.wall + away, boot="two")
    assert booted.clock(tmp_path).now() == at


def test_without_its_file_it_goes_on_from_the_journal(tmp_path: Path):
    hands = Hands()
    clock = hands.clock(tmp_path, not_before=500.0, not_before_wall=hands.wall - 60)
    assert (clock.now(), clock.last_alive) == (560.0, 500.0)


def test_a_journal_that_is_newer_than_its_file_wins(tmp_path: Path):
    hands = Hands()
    hands.clock(tmp_path).keep()
    assert hands.clock(tmp_path, not_before=500.0).now() == 500.0


@pytest.mark.parametrize("text", ["", "{}", '{"boot": 1, "offset": "x"}', "[1]", json.dumps({"boot": "one"})])
def test_a_broken_file_is_of_no_use_and_no_trouble(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str):
    (tmp_path / "clock.json").write_text(text)
    assert Hands().clock(tmp_path).now() == 0.0
    assert "is of no use" in caplog.text


def test_it_never_goes_back_within_a_run(tmp_path: Path):
    hands = Hands()
    clock = hands.clock(tmp_path)
    hands.pass_by(10)
    assert clock.now() == 10.0
    hands.monotonic -= 5
    assert clock.now() == 10.0


def test_a_folder_that_cannot_be_written_does_not_stop_it(tmp_path: Path):
    clock = Hands().clock(tmp_path / "missing")
    clock.keep()
    assert clock.now() == 0.0


def test_every_boot_has_a_name():
    assert boot_id() == boot_id() != ""
