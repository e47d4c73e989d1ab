"""Quiet seconds, put together until there is something to compare in them.

Owns the requests of the seconds that are not compared yet. Evidence comes from requests of both versions in the same
bucket; where two requests arrive a second, half of the new version's would have nobody beside them.

1. Seconds are put together until they hold `ENOUGH` requests of both versions together, or for `LONGEST` seconds. Which
   version a request was dealt to, and what became of it, plays no part, so the lot falls within a longer bucket as it
   does within a second.
2. A busy service never waits: a second with enough requests is a bucket of its own.
"""

from __future__ import annotations

from typing import Final

from controller.core.buckets import Bucket
from controller.core.plain import Stateful
from controller.core.traffic import Tally

ENOUGH: Final = 6
LONGEST: Final = 5


class Gathering(Stateful):
    """The seconds that wait."""

    STATE = ("_seconds", "_old", "_new")

    def __init__(self) -> None:
        self._seconds = 0
        self._old, self._new = Tally(), Tally()

    def put(self, old: Bucket, new: Bucket) -> tuple[Bucket, Bucket] | None:
        """Take the buckets of a second; gives those to compare now, if any."""
        if not self._seconds and old.requests + new.requests >= ENOUGH:
            return old, new
        self._seconds += 1
        self._old.update(old)
        self._new.update(new)
        if self._old.requests + self._new.requests < ENOUGH and self._seconds < LONGEST:
            return None
        together = self._old.bucket(), self._new.bucket()
        self._seconds = 0
        self._old, self._new = Tally(), Tally()
        return together
