"""Freeze windows on the calendar."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from config.controller import FreezeWindow
from controller.windows import frozen

# 2026-03-27 is a Friday; on the 29th the clocks in Berlin go forward.
WEEKEND = FreezeWindow.model_validate(
    {"days": ("fri",), "from": "16:00", "to": "08:00", "timezone": "Europe/Berlin", "reason": "weekend"}
)


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("moment", "is_frozen"),
    [
        ("2026-03-27T15:59:59", False),
        ("2026-03-27T16:00:00", True),
        ("2026-03-28T00:00:00", True),
        ("2026-03-28T07:59:59", True),
        ("2026-03-28T08:00:00", False),
        ("2026-03-28T16:30:00", False),
    ],
)
def test_a_window_begins_on_its_days_and_may_end_on_the_next(moment: str, is_frozen: bool):
    assert frozen([WEEKEND], at(moment)) == ("weekend until Sat 08:00 (Europe/Berlin)" if is_frozen else "")


def test_without_times_it_is_whole_days():
    window = FreezeWindow.model_validate({"days": ("sat", "sun")})
    assert frozen([window], at("2026-03-28T00:00:00", "UTC")) == "freeze window until Sun 00:00 (UTC)"
    assert frozen([window], at("2026-03-29T23:59:59", "UTC")) == "freeze window until Mon 00:00 (UTC)"
    assert frozen([window], at("2026-03-30T00:00:00", "UTC")) == ""


def test_equal_times_are_a_whole_day():
    window = FreezeWindow.model_validate({"days": ("mon",), "from": "09:00", "to": "09:00"})
    assert frozen([window], at("2026-03-31T08:59:00", "UTC")) != ""
    assert frozen([window], at("2026-03-31T09:00:00", "UTC")) == ""


def test_the_clock_on_the_wall_counts_when_it_is_changed():
    window = FreezeWindow.model_validate({"from": "01:00", "to": "04:00", "timezone": "Europe/Berlin"})
    assert frozen([window], at("2026-03-29T03:59:59")) != ""
    assert frozen([window], at("2026-03-29T04:00:00")) == ""


def test_the_first_window_that_holds_says_why():
    other = FreezeWindow.model_validate({"reason": "audit"})
    assert frozen([WEEKEND, other], at("2026-03-27T17:00:00")).startswith("weekend")
    assert frozen([WEEKEND, other], at("2026-03-27T12:00:00")).startswith("audit")
    assert frozen([], at("2026-03-27T17:00:00")) == ""
