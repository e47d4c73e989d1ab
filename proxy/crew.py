"""The workers: starts them, replaces those that die or hang, and knows when all of them serve what they were sent.

Owns one seat for each worker and the child in it. Must not know what a message is about: `greet` says what a new child
gets first.

Rules:
1. A seat is filled until the crew stops, at once after a child that has served. One that dies young makes the next one
   wait: 0.1 s, doubling up to 5 s.
2. Messages have rising numbers across the crew, and a child works through them in order. What was sent at number n is
   served by all when every seat has a ready child that has confirmed n or was greeted after it.
3. A child that does not confirm, gives no sign of life, or closes its channel is killed, and then is a dead one.
4. What a dead child left open in the counters is settled (`bury`) before its seat is filled again.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from proxy.child import Child, Patience
from proxy.control import Kind, Message, encode

#: Seconds of service. Short, so that only a worker that cannot live waits, not one that is killed now and then.
_YOUNG: Final = 0.25
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_WATCH_PERIOD: Final = 0.25
_STOOD_STILL: Final = 1.0  # a look that comes this much too late: the supervisor itself was stopped
_KILL_GRACE: Final = 2.0  # of workers whose time to drain is over

_log = logging.getLogger(__name__)


class StartError(Exception):
    """A worker did not get ready when the proxy started."""


class Rejected(Exception):
    """Workers could not take what they were sent; the text says why."""

    def __init__(self, reasons: dict[int, str]) -> None:
        super().__init__("; ".join(f"worker {worker}: {reason}" for worker, reason in reasons.items()))
        self.workers = tuple(reasons)


class Unconfirmed(Exception):
    """A worker did not get to serve what was sent, although it was replaced for that."""


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker, for people: `since` is CLOCK_MONOTONIC, `restarts` counts the children before this one."""

    index: int
    pid: int
    state: str
    restarts: int
    since: float


@dataclass(frozen=True, slots=True)
class Equipment:
    """What every worker is started with."""

    command: Sequence[str]
    counters: int
    greet: Callable[[], Sequence[tuple[Kind, object]]]
    heartbeat: Callable[[int], float]  # of a worker, CLOCK_MONOTONIC seconds
    bury: Callable[[int], None]
    tell: Callable[..., None] = field(default=lambda kind, **fields: None)  # events


@dataclass(slots=True)
class _Seat:
    index: int
    listeners: tuple[int, ...]
    arguments: tuple[str, ...]
    child: Child | None = None
    restarts: int = -1


@dataclass(frozen=True, slots=True)
class _End:
    what: str
    served: float


class Crew:
    """The workers. `seats` has for each the descriptors it listens on and its further arguments."""

    def __init__(
        self, equipment: Equipment, seats: Sequence[tuple[Sequence[int], Sequence[str]]], patience: Patience
    ) -> None:
        self._equipment = equipment
        self._patience = patience
        self._seats = [_Seat(index, tuple(fds), tuple(more)) for index, (fds, more) in enumerate(seats)]
        self._numbers = itertools.count(1)
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._tenders: list[asyncio.Task[None]] = []
        self._watcher: asyncio.Task[None] | None = None
        self._is_up = False
        self._stopping = asyncio.Event()
        self._forgiven = 0.0

    @property
    def states(self) -> list[WorkerState]:
        """Every worker as it is now."""
        return [
            WorkerState(seat.index, child.pid, child.state, max(seat.restarts, 0), child.started_at)
            if (child := seat.child) is not None
            else WorkerState(seat.index, 0, "ended", max(seat.restarts, 0), 0.0)
            for seat in self._seats
        ]

    def has_ready(self) -> bool:
        """Whether at least one worker serves."""
        return any(seat.child is not None and seat.child.is_ready for seat in self._seats)

    async def start(self) -> None:
        """Fill every seat; returns when all are ready. Raises StartError, and nobody is left running then."""
        self._tenders = [asyncio.create_task(self._tend(seat)) for seat in self._seats]
        self._watcher = asyncio.create_task(self._watch())
        ready = asyncio.create_task(self.confirmed(0))
        await asyncio.wait({ready, *self._tenders}, return_when=asyncio.FIRST_COMPLETED)
        errors = [task.exception() for task in self._tenders if task.done()]
        if errors:
            ready.cancel()
            await self.kill()
            raise errors[0] or StartError("the workers ended while the proxy started")
        try:
            await ready
        except Unconfirmed as exc:
            await self.kill()
            raise StartError(str(exc)) from exc
        self._is_up = True

    def send(self, kind: Kind, payload: object = None) -> int:
        """Send a message to every worker that runs; returns its number."""
        seq = next(self._numbers)
        frame = encode(Message(seq, kind, payload))
        for seat in self._seats:
            if seat.child is not None:
                seat.child.send(seq, frame)
        return seq

    async def confirmed(self, seq: int) -> None:
        """Wait until every worker serves what was sent with this number.

        Raises:
            Rejected: one of them cannot.
            Unconfirmed: one of them was replaced for it and does not get ready.
        """
        served: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[served] = seq
        try:
            self._settle()
            async with asyncio.timeout(self._patience.ack + self._patience.start):
                await served
        except TimeoutError as exc:
            late = ", ".join(str(seat.index) for seat in self._seats if not _serves(seat, seq))
            raise Unconfirmed(f"worker {late} is not ready") from exc
        finally:
            del self._waiting[served]

    def replace(self, workers: Sequence[int]) -> None:
        """Kill these workers, so that others that begin with what is true now take their seats."""
        for index in workers:
            child = self._seats[index].child
            if child is not None:
                child.kill()

    async def drain(self, seconds: float) -> int:
        """Tell every worker to take nothing new and to finish; returns how many had to be killed at the end of it."""
        self._stopping.set()
        for seat in self._seats:
            if seat.child is not None:
                seat.child.say_drain(next(self._numbers), seconds)
        _, unfinished = await asyncio.wait(self._tenders, timeout=seconds + _KILL_GRACE)
        await self.kill()
        return len(unfinished)

    async def kill(self) -> None:
        """End every worker at once."""
        self._stopping.set()
        for seat in self._seats:
            if seat.child is not None:
                seat.child.kill()
        await asyncio.gather(*self._tenders, return_exceptions=True)
        for served in self._waiting:
            if not served.done():
                served.set_exception(Unconfirmed("the workers have ended"))
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher

    async def _tend(self, seat: _Seat) -> None:
        """Keep a seat filled. Raises StartError when the crew is not up yet and its child ends."""
        pause = 0.0
        while not self._stopping.is_set():
            end = await self._live_through(seat)
            if self._stopping.is_set():
                return
            if not self._is_up:
                raise StartError(f"worker {seat.index} {end.what} before all were ready; its own messages are above")
            pause = 0.0 if end.served >= _YOUNG else min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            _log.warning("worker %d %s; the next one starts in %.1f s", seat.index, end.what, pause)
            self._equipment.tell("worker_ended", worker=seat.index, reason=end.what, restarts=seat.restarts)
            await self._pause(pause)

    async def _live_through(self, seat: _Seat) -> _End:
        """One child's life: started, greeted, waited for, buried."""
        seat.restarts += 1
        child = Child(seat.index, self._heard)
        try:
            await child.start((*self._equipment.command, *seat.arguments), seat.listeners, self._equipment.counters)
        except OSError as exc:
            return _End(f"could not be started: {exc}", 0.0)
        # In one step: what is sent from now on comes after the greeting, what was sent before is in it.
        seat.child = child
        for kind, payload in self._equipment.greet():
            seq = next(self._numbers)
            child.send(seq, encode(Message(seq, kind, payload)))
        if self._stopping.is_set():
            child.kill()
        status = await child.wait()
        seat.child = None
        self._equipment.bury(seat.index)
        return _End(_reading(child, status), child.served_seconds)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _heard(self, child: Child, refusal: str) -> None:
        if refusal:
            _log.error("worker %d could not take what it was sent: %s", child.index, refusal)
            if child.state == "starting":
                child.kill(f"could not take what it was sent ({refusal})")
        self._settle()

    def _settle(self) -> None:
        """Tell those who wait what has become of their number."""
        for served, seq in self._waiting.items():
            refusals = {
                seat.index: seat.child.refusals[seq]
                for seat in self._seats
                if seat.child is not None and seat.child.is_ready and seq in seat.child.refusals
            }
            if served.done():
                continue
            if refusals:
                served.set_exception(Rejected(refusals))
            elif all(_serves(seat, seq) for seat in self._seats):
                served.set_result(None)

    async def _watch(self) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_PERIOD)
            now = time.monotonic()
            if now - looked > _WATCH_PERIOD + _STOOD_STILL:
                self._forgiven = now
            looked = now
            for seat in self._seats:
                if seat.child is not None:
                    self._judge(seat.child, now)

    def _judge(self, child: Child, now: float) -> None:
        heartbeat = self._equipment.heartbeat(child.index)
        complaint = child.complaint(now, heartbeat, self._patience, self._forgiven)
        if complaint:
            self._equipment.tell("worker_killed", worker=child.index, reason=complaint)
            child.kill(complaint)


def _serves(seat: _Seat, seq: int) -> bool:
    return seat.child is not None and seat.child.is_ready and seat.child.confirmed >= seq


def _reading(child: Child, status: int) -> str:
    if child.killed_for:
        return f"was killed because it {child.killed_for}"
    return f"ended with signal {-status}" if status < 0 else f"ended with status {status}"
