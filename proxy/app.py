"""The whole proxy in the foreground: what it is made of, how it begins, what signals do, how it ends.

Owns the assembly and the order of beginning and ending. Must not do the work of its parts.

Rules:
1. Nothing is opened before the configuration is known to be good, and what cannot begin leaves nothing open.
2. Signals are taken from the first moment on: one that came too early is not lost, and none ends the proxy by default.
3. SIGTERM and SIGQUIT drain and end within `drain_timeout`; SIGINT ends soon, and a second one at once. The admin API
   answers until the end.
4. Once the next version has taken over (SIGUSR2), this one drains as for SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop

from config.load import load
from config.model import Config
from config.notices import notices
from config.problems import ConfigError
from proxy.admin_server import AdminServer
from proxy.bequest import Unintelligible, find_bequest
from proxy.breaker import Breaker
from proxy.certificates import Renewal
from proxy.checks import Prober
from proxy.core.overlay import describe, difference
from proxy.core.slots import OutOfSlots
from proxy.crew import StartError
from proxy.handover import Estate, Handover
from proxy.inheritance import Inheritance, passed_descriptors
from proxy.observations import Observations
from proxy.orders import Orders
from proxy.predecessor import Predecessor, TakeoverError
from proxy.resolver import Resolver
from proxy.sockets import ListenError
from proxy.state import StateError, StateFolder
from proxy.supervisor import Supervisor
from webapi.standard_error import speak_on_standard_error
from webapi.systemd import ServiceNotes

#: SIGINT is a person who waits: what is in flight gets this long, seconds.
SOON: Final = 2.0
FAILED: Final = 1
INTERRUPTED: Final = 128 + signal.SIGINT

_ENDING: Final = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)
_log = logging.getLogger(__name__)


def run(config_path: str | Path) -> int:
    """Serve the configuration until a signal ends it; returns the exit code.

    Raises:
        ConfigError: the file cannot be used; nothing was started.
    """
    path = Path(config_path)
    speak_on_standard_error("serinus [%(levelname)s] %(message)s")
    before: Predecessor | None = None
    try:
        bequest = find_bequest()
        before = Predecessor(bequest) if bequest is not None else None
        return uvloop.run(_serve(load(path), path, before))
    except ConfigError as exc:
        if before is not None:
            before.give_up(str(exc))
        raise
    except (StateError, ListenError, StartError, OutOfSlots, TakeoverError, Unintelligible) as exc:
        if before is not None:
            before.give_up(str(exc))
        print(f"serinus: {exc}", file=sys.stderr)
        return FAILED


async def _serve(config: Config, path: Path, before: Predecessor | None) -> int:
    endings = _take_endings()
    notes = ServiceNotes(os.environ, os.getpid())
    passed = Inheritance(passed_descriptors(os.environ, os.getpid()))
    async with contextlib.AsyncExitStack() as stack:
        supervisor = await stack.enter_async_context(_supervising(config, path, before, passed))
        orders = Orders(supervisor, notes)
        stack.enter_context(orders.taken())
        observations = Observations(supervisor)
        # Before the workers, so that names are looked up when the first request comes.
        watching = (Resolver(supervisor), Prober(supervisor), observations, Breaker(supervisor))
        for part in (*watching, supervisor.leases, Renewal(supervisor)):
            await stack.enter_async_context(_running(part.run()))
        if not await _started(supervisor.start(takes_over=before is not None), endings):
            return INTERRUPTED
        admin = AdminServer(supervisor, observations, before.admin if before is not None else passed)
        stack.push_async_callback(admin.close)
        if before is not None:
            await _take_over(before, supervisor, admin, orders)
        await admin.start()
        _tell_beginning(supervisor, admin)
        leave = partial(endings.put_nowait, signal.SIGUSR2)
        handover = Handover(Estate(supervisor, admin, notes, orders.wants_reload, leave))
        orders.allow(handover)
        orders.tell_ready()
        await stack.enter_async_context(_running(notes.stay_alive()))
        return await _end(supervisor, endings, handover, notes)


async def _take_over(before: Predecessor, supervisor: Supervisor, admin: AdminServer, orders: Orders) -> None:
    """Have everything of the proxy before. Raises TakeoverError."""
    wants_reload = await before.take_over()
    admin.listening.own()
    await supervisor.take_over()
    _log.info("took over from the proxy before (pid %d)", before.pid)
    if wants_reload:
        orders.reload()


@contextlib.asynccontextmanager
async def _supervising(
    config: Config, path: Path, before: Predecessor | None, passed: Inheritance
) -> AsyncIterator[Supervisor]:
    legacy = await before.legacy() if before is not None else None
    state = StateFolder(config.state_dir, before.lock if before is not None else None)
    inheritance = before.listen if before is not None else passed
    try:
        supervisor = Supervisor(config, path, state, inheritance=inheritance, legacy=legacy)
    except BaseException:
        state.close()
        raise
    if before is not None:
        supervisor.succession.predecessor = before.pid
        supervisor.succession.enter("taking_over")
    try:
        yield supervisor
    finally:
        await supervisor.stop()


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """A part of the supervisor that runs by itself."""
    task = asyncio.create_task(work)
    task.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        _log.error("a part of the supervisor has ended: %r", exc, exc_info=exc)


def _tell_beginning(supervisor: Supervisor, admin: AdminServer) -> None:
    """One line for each thing that a person wants to know now."""
    live = supervisor.live
    for listener in supervisor.listening:
        _log.info("listening on %s", listener.name)
    for listener in admin.listening:
        _log.info("admin API on %s", listener.name)
    for name in supervisor.listening.unclaimed():
        _log.warning("systemd has passed %s, which the file names neither as a number nor as an address", name)
    for sentence in (*notices(live.config), *supervisor.dropped):
        _log.warning("%s", sentence)
    for different in difference(live):
        _log.info("%s", describe(different))
    _log.info(
        "%d workers serve generation %d; state in %s", len(supervisor.slabs), live.generation, live.config.state_dir
    )


def _take_endings() -> asyncio.Queue[signal.Signals]:
    """The signals that end the proxy, as they come."""
    endings: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in _ENDING:
        asyncio.get_running_loop().add_signal_handler(number, endings.put_nowait, number)
    return endings


async def _started(starting: Coroutine[Any, Any, None], endings: asyncio.Queue[signal.Signals]) -> bool:
    """Start the workers; false when a signal came before they were ready. Raises what the start does."""
    start, ending = asyncio.create_task(starting), asyncio.create_task(endings.get())
    await asyncio.wait({start, ending}, return_when=asyncio.FIRST_COMPLETED)
    if ending.done():
        _log.warning("%s before all workers were ready: ending at once", ending.result().name)
        start.cancel()
        await asyncio.wait({start})
        return False
    ending.cancel()
    await start
    return True


async def _end(
    supervisor: Supervisor, endings: asyncio.Queue[signal.Signals], handover: Handover, notes: ServiceNotes
) -> int:
    """Wait for the signal that ends the proxy, and drain; a second SIGINT ends the drain. Returns the exit code."""
    first = await endings.get()
    await handover.abort()
    seconds = supervisor.live.config.drain_timeout
    if first == signal.SIGINT:
        seconds = min(seconds, SOON)
    _log.info("%s: finishing what is in flight, within %g s", first.name, seconds)
    if supervisor.succession.phase != "handed_over":
        notes.stopping(f"finishing what is in flight, within {seconds:g} s")
    drain = asyncio.create_task(supervisor.drain(seconds))
    while not drain.done():
        again = asyncio.create_task(endings.get())
        await asyncio.wait({drain, again}, return_when=asyncio.FIRST_COMPLETED)
        if not again.done():
            again.cancel()
        elif again.result() == signal.SIGINT and not drain.done():
            _log.warning("SIGINT again: ending at once")
            drain.cancel()
            return INTERRUPTED
    if killed := drain.result():
        _log.warning("%d workers were ended before they were done", killed)
    await handover.finish()
    return 0
