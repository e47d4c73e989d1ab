"""Freeze windows: when, by the calendar, nothing moves forward.

Owns how a window lies on the calendar. Must not know a rollout.

1. A window begins on its days at `from` and ends at the next `to`: on the same day, or on the one after it when `to` is
   not later. Its end is not part of it.
2. Times are those on the clocks of its zone, also on the days on which these are changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC as UTC_ZONE
from datetime import datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from config.controller import DAYS, MINUTES_OF_A_DAY, UTC, FreezeWindow

#: A window is a day long at most: one that holds has begun today or yesterday.
_BEGINNINGS: Final = 2


def frozen(windows: Iterable[FreezeWindow], wall: float) -> str:
    """Why nothing moves forward now, and until when; empty when it may. `wall` is seconds since 1970."""
    for window in windows:
        now = datetime.fromtimestamp(wall, _zone(window)).replace(tzinfo=None)
        for begin, end in _spans(window, now):
            if begin <= now < end:
                return f"{window.reason} until {end:%a %H:%M} ({window.timezone})"
    return ""


def _spans(window: FreezeWindow, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The latest beginnings and ends of a window."""
    length = window.to - window.from_
    minutes = length if length > 0 else length + MINUTES_OF_A_DAY
    for days in range(_BEGINNINGS):
        midnight = datetime(now.year, now.month, now.day) - timedelta(days=days)
        if DAYS[midnight.weekday()] in window.days:
            begin = midnight + timedelta(minutes=window.from_)
            yield begin, begin + timedelta(minutes=minutes)


def _zone(window: FreezeWindow) -> tzinfo:
    return UTC_ZONE if window.timezone == UTC else ZoneInfo(window.timezone)
