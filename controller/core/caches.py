"""Caches that fill: a quiet version is slow at first, and less and less so.

Owns that finding. Must not judge.

1. Caches fill while the share of slow requests in the last third of the time is less than half of that in the
   first third, and as long as there are too few requests to tell. After half an hour, it is the version that is slow.
2. While they fill and the version gets a share below `SMALL_SHARE`, latency alone may hold, but not roll back.

Units: seconds, rates from 0 to 1.
"""

from __future__ import annotations

from typing import Final

from controller.core.plain import Stateful

SMALL_SHARE: Final = 0.05
_SLOT: Final = 5  # seconds
_SLOTS: Final = 360
_SOME: Final = 5  # requests that a third must have
_ENOUGH: Final = 30  # requests to see anything


class Caches(Stateful):
    """Slow requests of the new version over time, in slots of five seconds."""

    STATE = ("_requests", "_slow", "_first")

    def __init__(self) -> None:
        self._requests: list[int] = []
        self._slow: list[int] = []
        self._first: int | None = None

    def update(self, second: int, requests: int, slow: int) -> None:
        """Take a bucket."""
        if self._first is None:
            if not requests:
                return
            self._first = second
        slot = (second - self._first) // _SLOT
        if slot >= _SLOTS:
            return
        missing = slot + 1 - len(self._requests)
        self._requests += [0] * missing
        self._slow += [0] * missing
        self._requests[slot] += requests
        self._slow[slot] += slow

    @property
    def are_filling(self) -> bool:
        """Whether slow requests become fewer."""
        third = len(self._requests) // 3
        if len(self._requests) >= _SLOTS:
            return False
        if sum(self._requests) < _ENOUGH or not third:
            return True
        first, last = self._share(0, third), self._share(-third, None)
        return first is not None and last is not None and last < first / 2

    def _share(self, begin: int, end: int | None) -> float | None:
        requests = sum(self._requests[begin:end])
        return sum(self._slow[begin:end]) / requests if requests >= _SOME else None
