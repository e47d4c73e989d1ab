"""The whole proxy in the foreground: what it is made of, how it begins, what signals do, how it ends.

Owns the assembly and the order of beginning and ending. Must not do the work of its parts.

Rules:
1. Nothing is opened before the configuration is known to be good, and what cannot begin leaves nothing open.
2. Signals are taken from the first moment on: one that came too early is not lost, and none ends the proxy by default.
3. SIGTERM and SIGQUIT drain and end within `drain_timeout`; SIGINT ends soon, and a second one at once. The admin API
   answers until the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from config.load import load
from config.model import Config
from config.notices import notices
from config.problems import ConfigError
from proxy.admin.app import create_app
from proxy.breaker import Breaker
from proxy.certificates import Renewal
from proxy.checks import Prober
from proxy.core.live import Refused
from proxy.core.overlay import describe, difference
from proxy.core.slots import OutOfSlots
from proxy.crew import StartError
from proxy.metrics import SerinusCollector
from proxy.observations import Observations
from proxy.resolver import Resolver
from proxy.sockets import ListenError, OpenListener, close_listeners, open_listeners, passed_descriptors
from proxy.state import StateError, StateFolder
from proxy.supervisor import Supervisor
from webapi.serving import runner_of
from webapi.standard_error import speak_on_standard_error

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
    config = load(path)
    speak_on_standard_error("serinus [%(levelname)s] %(message)s")
    try:
        return uvloop.run(_serve(config, path))
    except (StateError, ListenError, StartError, OutOfSlots) as exc:
        print(f"serinus: {exc}", file=sys.stderr)
        return FAILED


async def _serve(config: Config, path: Path) -> int:
    endings = _take_endings()
    passed = passed_descriptors(os.environ, os.getpid())
    async with contextlib.AsyncExitStack() as stack:
        supervisor = await stack.enter_async_context(_supervising(config, path, passed))
        stack.enter_context(_taking_orders(supervisor))
        observations = Observations(supervisor)
        # Before the workers, so that names are looked up when the first request comes.
        watching = (Resolver(supervisor), Prober(supervisor), observations, Breaker(supervisor))
        for part in (*watching, supervisor.leases, Renewal(supervisor)):
            await stack.enter_async_context(_running(part.run()))
        if not await _started(supervisor, endings):
            return INTERRUPTED
        admin = await stack.enter_async_context(_admin(supervisor, observations, passed))
        _tell_beginning(supervisor, admin)
        return await _end(supervisor, endings)


@contextlib.asynccontextmanager
async def _supervising(config: Config, path: Path, passed: Mapping[int, str]) -> AsyncIterator[Supervisor]:
    state = StateFolder(config.state_dir)
    try:
        supervisor = Supervisor(config, path, state, passed=passed)
    except BaseException:
        state.close()
        raise
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


@contextlib.asynccontextmanager
async def _admin(
    supervisor: Supervisor, observations: Observations, passed: Mapping[int, str]
) -> AsyncIterator[list[OpenListener]]:
    """Serve the admin API. Raises ListenError."""
    registry = CollectorRegistry()
    registry.register(SerinusCollector(supervisor, observations))
    app = create_app(supervisor, observations, registry)
    opened = open_listeners([supervisor.live.config.admin.address], 1, passed)
    runner = runner_of(app)
    try:
        await runner.setup()
        for listener in opened[0]:
            await web.SockSite(runner, listener.for_worker(0)).start()
        yield opened[0]
    finally:
        await runner.cleanup()
        close_listeners(opened)


def _tell_beginning(supervisor: Supervisor, admin: list[OpenListener]) -> None:
    """One line for each thing that a person wants to know now."""
    live = supervisor.live
    for listener in (listener for opened in supervisor.listeners for listener in opened):
        _log.info("listening on %s", listener.name)
    for listener in admin:
        _log.info("admin API on %s", listener.name)
    for sentence in (*notices(live.config), *supervisor.dropped):
        _log.warning("%s", sentence)
    for different in difference(live):
        _log.info("%s", describe(different))
    _log.info(
        "%d workers serve generation %d; state in %s", len(supervisor.slabs), live.generation, live.config.state_dir
    )


@contextlib.contextmanager
def _taking_orders(supervisor: Supervisor) -> Any:
    """SIGHUP reads the file again, SIGUSR1 opens the access logs again."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(supervisor))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGUSR1, supervisor.reopen_logs)
    yield
    for task in reloads:
        task.cancel()


async def _reload(supervisor: Supervisor) -> None:
    try:
        for notice in await supervisor.reload():
            _log.warning("%s", notice)
        _log.info("the file was read again: generation %d is served", supervisor.live.generation)
    except ConfigError as exc:
        _log.error("the file was not taken, what was served goes on:\n%s", exc)
    except Refused as exc:
        _log.error("the file was not taken: %s", exc)


def _take_endings() -> asyncio.Queue[signal.Signals]:
    """The signals that end the proxy, as they come."""
    endings: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in _ENDING:
        asyncio.get_running_loop().add_signal_handler(number, endings.put_nowait, number)
    return endings


async def _started(supervisor: Supervisor, endings: asyncio.Queue[signal.Signals]) -> bool:
    """Start the workers; false when a signal came before they were ready. Raises what `start` does."""
    start, ending = asyncio.create_task(supervisor.start()), asyncio.create_task(endings.get())
    await asyncio.wait({start, ending}, return_when=asyncio.FIRST_COMPLETED)
    if ending.done():
        _log.warning("%s before all workers were ready: ending at once", ending.result().name)
        start.cancel()
        await asyncio.wait({start})
        return False
    ending.cancel()
    await start
    return True


async def _end(supervisor: Supervisor, endings: asyncio.Queue[signal.Signals]) -> int:
    """Wait for the signal that ends the proxy, and drain; a second SIGINT ends the drain. Returns the exit code."""
    first = await endings.get()
    seconds = supervisor.live.config.drain_timeout
    if first == signal.SIGINT:
        seconds = min(seconds, SOON)
    _log.info("%s: finishing what is in flight, within %g s", first.name, seconds)
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
    return 0
