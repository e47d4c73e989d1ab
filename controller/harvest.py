"""The seconds of all proxies, put together: what both versions of a rollout did, second by second.

Owns when a second is complete, and how the clocks of several proxies are laid side by side. Must not judge.

1. A second of a proxy is closed when all its requests have ended, or when it has waited for them long enough.
2. Of each proxy, seconds are taken in their order and each once. A second is given on when every proxy that answers has
   closed it; what one that was silent did in it is left out, of both versions alike.
3. Where a proxy's clock is our own it is left alone; another one is shifted by whole seconds, once, until it jumps.
4. Nothing is given on twice, whatever a proxy says again.

Units: seconds of our CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.core.buckets import EMPTY, Binning, Bucket

Counted = Mapping[str, Any]
"""The answer of /v1/stats."""

#: Clocks that differ by so little are the same one, read at different moments.
_SAME_CLOCK: Final = 3
#: What a proxy keeps, and what is kept here of it.
KEPT: Final = 900


@dataclass(slots=True)
class _Field:
    """What one proxy has told: its clock's shift, and the closed seconds that have not been given on."""

    shift: int | None = None
    closed: int | None = None
    """The last second that is closed, by our clock."""
    seconds: dict[int, tuple[Bucket, Bucket]] = field(default_factory=dict)


class Harvest:
    """The seconds of an old and a new version of one service. Seconds up to `after` are not given on."""

    def __init__(self, service: str, old: str, new: str, patience: float, after: int | None = None) -> None:
        self._service = service
        self._versions = old, new
        self._patience = patience
        self._after = after
        self._fields: dict[str, _Field] = {}

    def wanted_seconds(self, now: float) -> int:
        """How many seconds back the proxies should be asked for."""
        if self._after is None:
            return KEPT
        return min(KEPT, max(1, int(now) - self._after + 2 * _SAME_CLOCK))

    def take(self, answers: Mapping[str, Counted], now: float) -> Iterator[tuple[int, Bucket, Bucket]]:
        """Take what the proxies have answered; gives every second that is complete with it.

        Raises:
            KeyError, IndexError, TypeError, ValueError: an answer is of another shape.
        """
        for name, answer in answers.items():
            self._take_one(self._fields.setdefault(name, _Field()), answer, now)
        told = [self._fields[name] for name in answers]
        closed = [each.closed for each in told if each.closed is not None]
        if not closed or len(closed) < len(told):
            return
        last = min(closed)
        begun = min((second for each in told for second in each.seconds), default=last + 1)
        first = self._after + 1 if self._after is not None else begun
        for second in range(max(first, last - KEPT + 1), last + 1):
            pairs = [each.seconds.pop(second, (EMPTY, EMPTY)) for each in told]
            old, new = (sum((pair[side] for pair in pairs), EMPTY) for side in (0, 1))
            yield second, old, new
        self._forget(last)

    def _take_one(self, place: _Field, answer: Counted, now: float) -> None:
        shift = self._shift(place.shift, int(now) - answer["now"])
        if shift != place.shift:
            place.shift, place.closed = shift, None
            place.seconds.clear()
        binning = Binning(answer["bin_lower_bounds_seconds"], self._patience)
        versions = answer["services"].get(self._service, {})
        told = [{each["t"]: each for each in versions.get(name, {}).get("seconds", ())} for name in self._versions]
        known = self._known(place, shift, told, answer["now"])
        place.closed = known + shift
        for second in range(max(known + 1, answer["now"] - KEPT), answer["now"]):
            entries = [each.get(second) for each in told]
            is_open = any(entry is not None and entry["in_flight"] for entry in entries)
            if is_open and answer["now"] < second + 1 + self._patience:
                break
            place.closed = second + shift
            if self._after is None or place.closed > self._after:
                old, new = (binning.bucket(entry) if entry is not None else EMPTY for entry in entries)
                place.seconds[place.closed] = old, new

    def _known(self, place: _Field, shift: int, told: list[dict[int, Any]], now: int) -> int:
        """The last second that is dealt with, by the proxy's clock; at first, the one before it tells of anything."""
        if place.closed is not None:
            return place.closed - shift
        if self._after is not None:
            return self._after - shift
        return min((second for each in told for second in each), default=now) - 1

    def _shift(self, known: int | None, raw: int) -> int:
        if known is not None and abs(raw - known) <= _SAME_CLOCK:
            return known
        return 0 if abs(raw) <= _SAME_CLOCK else raw

    def _forget(self, last: int) -> None:
        self._after = max(last, self._after) if self._after is not None else last
        for each in self._fields.values():
            for second in [second for second in each.seconds if second <= last]:
                del each.seconds[second]
