"""What every version did in the last quarter of an hour, gathered from the workers' counters once a second.

Owns the histories and the answer of /v1/stats. Must not write to the counters or judge what it sees.

Rules:
1. The numbers of a second may rise until it leaves the ring of the counters, SECONDS seconds later. What has not ended
   by then stays visible as `in_flight_older` for as long as it is in flight.
2. A quiet version costs one look at two integers per worker.
3. `harvest` runs on the event loop. Every other method may be called from any thread.
4. When the counters of a version start again (its slot was given away), so does its history.

Units: `t` and `now` are whole seconds of CLOCK_MONOTONIC, which is also what `time.monotonic` of other processes shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, Protocol

from proxy.core import stats
from proxy.core.histogram import LOWER
from proxy.core.live import Live
from proxy.core.slots import Slots
from proxy.core.stats import KEPT, History, Rates, Second
from proxy.wire.counters import Slab

RING: Final = 16  # seconds that the counters keep open, SECONDS in proxy/wire/counters.pxd
_NANO: Final = 1_000_000_000
#: After the turn of a second, so that what workers write at its very end is in.
_PHASE: Final = 0.05

_NO_HISTORY: Final = History()


class Observed(Protocol):
    """What this needs of the supervisor."""

    @property
    def live(self) -> Live:
        """The services and versions of now."""

    @property
    def slots(self) -> Slots:
        """Where each of them is counted."""

    @property
    def slabs(self) -> Sequence[Slab]:
        """The counters of each worker."""


class _Followed:
    """One version: where it is counted, what was last seen there, and its history."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.history = History()
        self.started = 0
        self.in_flight = 0
        # Read while they were being written, perhaps: these seconds are read once more.
        self.fresh: set[int] = set()


class Observations:
    """The histories of all versions of the live state."""

    def __init__(self, supervisor: Observed, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._supervisor = supervisor
        self._clock_ns = clock_ns
        self._now = self._began = clock_ns() // _NANO
        self._followed: dict[str, dict[str, _Followed]] = {}

    async def run(self) -> None:
        """Harvest once a second, for ever."""
        while True:
            self.harvest(self._clock_ns())
            await asyncio.sleep(1 - (self._clock_ns() / _NANO - _PHASE) % 1)

    def harvest(self, now_ns: int) -> None:
        """Read what has changed in the counters; follow versions that came and drop those that went."""
        now = now_ns // _NANO
        supervisor, old = self._supervisor, self._followed
        self._followed = {
            service: {
                version: self._follow(old.get(service, {}).get(version), supervisor.slots.version(service, version))
                for version in live.versions
            }
            for service, live in supervisor.live.services.items()
        }
        for versions in self._followed.values():
            for followed in versions.values():
                self._harvest_version(followed, now)
        self._now = now

    def stats(self, seconds: int, services: Collection[str] | None = None) -> dict[str, Any]:
        """The answer of /v1/stats: the last `seconds`, the current unfinished one included, of all or some services.

        `requests` of a second are the attempts that began in it, `in_flight` those of them that had not ended when it
        was last read.
        """
        first, last = self._now - min(seconds, KEPT) + 1, self._now
        return {
            "now": self._now,
            "clock": "monotonic",
            "bin_lower_bounds_seconds": list(LOWER[:-1]),
            "services": {
                service: {
                    version: _version_stats(followed.history, first, last) for version, followed in versions.items()
                }
                for service, versions in self._followed.items()
                if services is None or service in services
            },
        }

    def rates(self, service: str, version: str, seconds: int = 10) -> Rates:
        """The figures of the last whole seconds of one version; those of silence when there is no such version."""
        followed = self._followed.get(service, {}).get(version)
        history = followed.history if followed else _NO_HISTORY
        # A proxy that has just begun has not had so many seconds: its rates are of those that it had.
        watched = min(seconds, max(1, self._now - self._began))
        return stats.rates([record for _, record in history.between(self._now - watched, self._now - 1)], watched)

    def actual_shares(self, service: str) -> dict[str, float]:
        """How the split dealt the requests of the last minute; empty when there were none.

        What a route forced and what a fallback took over is not the split's doing and does not count.
        """
        versions = self._followed.get(service, {})
        return stats.shares({version: followed.history.chosen for version, followed in versions.items()})

    def _follow(self, followed: _Followed | None, slot: int) -> _Followed:
        return followed if followed is not None and followed.slot == slot else _Followed(slot)

    def _harvest_version(self, followed: _Followed, now: int) -> None:
        slabs, slot = self._supervisor.slabs, followed.slot
        pulses = [slab.read_pulse(slot) for slab in slabs]
        started, in_flight = sum(pulse[0] for pulse in pulses), sum(pulse[1] for pulse in pulses)
        if started < followed.started:
            followed.history, followed.fresh = History(), set()
        history = followed.history
        history.forget_before(now - KEPT + 1)
        history.note_chosen(sum(pulse[2] for pulse in pulses))
        if started == followed.started and in_flight == followed.in_flight == 0 and not followed.fresh:
            return
        followed.started, followed.in_flight = started, in_flight
        self._read_ring(followed, now)

    def _read_ring(self, followed: _Followed, now: int) -> None:
        """Read the seconds that can still change, and of those the ones that did."""
        slabs, slot, history = self._supervisor.slabs, followed.slot, followed.history
        in_flight, marks = 0, dict[int, tuple[int, int]]()
        for slab in slabs:
            unfinished, seconds = slab.read_ring(slot, max(0, now - RING + 1))
            in_flight += unfinished
            for second, started, done in seconds:
                before = marks.get(second, (0, 0))
                marks[second] = before[0] + started, before[1] + done
        history.in_flight = max(0, in_flight)
        history.in_flight_older = max(0, in_flight - sum(started - done for started, done in marks.values()))

        changed = set(_changed(history, marks))
        for second in changed | (followed.fresh & marks.keys()):
            readings = (slab.read_second(slot, second) for slab in slabs)
            history.put(second, Second.of(reading for reading in readings if reading is not None))
        followed.fresh = changed


def _changed(history: History, marks: dict[int, tuple[int, int]]) -> Iterator[int]:
    for second, mark in marks.items():
        record = history.get(second)
        if record is None or (record.started, record.done) != mark:
            yield second


def _version_stats(history: History, first: int, last: int) -> dict[str, Any]:
    return {
        "seconds": [_second_stats(second, record) for second, record in history.between(first, last)],
        "in_flight": history.in_flight,
        "in_flight_older": history.in_flight_older,
    }


def _second_stats(second: int, record: Second) -> dict[str, Any]:
    return {
        "t": second,
        "requests": record.started,
        "done": record.done,
        "errors": record.failed,
        "aborted": record.aborted,
        "client_errors": record.client_errors,
        "in_flight": record.in_flight,
        "bins": {str(index): count for index, count in record.bins.items()},
    }
