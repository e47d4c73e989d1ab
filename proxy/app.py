"""The whole proxy in the foreground: what it is made of, how it begins, what signals do, how it ends.

Owns the assembly and the order of beginning and ending. Must not do the work of its parts.

Rules:
1. Nothing is opened before the configuration is known to be good.
2. What cannot begin says what is wrong and what to do, and leaves nothing open.
3. SIGTERM and SIGQUIT drain and end within `drain_timeout`; SIGINT ends soon, a second one at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from config.address import TcpAddress, UnixAddress
from config.load import load
from config.model import Config
from config.problems import ConfigError
from proxy.admin.app import create_app
from proxy.breaker import Breaker
from proxy.checks import Prober
from proxy.core.live import Refused
from proxy.core.overlay import difference
from proxy.core.slots import OutOfSlots
from proxy.crew import StartError
from proxy.metrics import SerinusCollector
from proxy.observations import Observations
from proxy.resolver import Resolver
from proxy.sockets import ListenError, passed_descriptors
from proxy.state import StateError, StateFolder
from proxy.supervisor import Supervisor

#: SIGINT is a person who waits: what is in flight gets this long, seconds.
SOON = 2.0
FAILED = 1

_log = logging.getLogger(__name__)


def run(config_path: str | Path) -> int:
    """Serve the configuration until a signal ends it; the exit code.

    Raises:
        ConfigError: the file cannot be used.
    """
    path = Path(config_path)
    config = load(path)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="serinus: %(message)s")
    try:
        return uvloop.run(_serve(config, path))
    except (StateError, ListenError, StartError, OutOfSlots) as exc:
        print(f"serinus: {exc}", file=sys.stderr)
        return FAILED


async def _serve(config: Config, path: Path) -> int:
    supervisor = Supervisor(
        config, path, StateFolder(config.state_dir), passed=passed_descriptors(os.environ, os.getpid())
    )
    endings = _endings()
    try:
        observations = Observations(supervisor)
        registry = CollectorRegistry()
        registry.register(SerinusCollector(supervisor, observations))
        async with contextlib.AsyncExitStack() as stack:
            # Names are looked up before the first request can need them.
            for part in (Resolver(supervisor), Prober(supervisor), observations, Breaker(supervisor)):
                await stack.enter_async_context(_running(part.run()))
            await supervisor.start()
            await stack.enter_async_context(_admin(supervisor, observations, registry))
            _tell_beginning(supervisor)
            _on_reload(supervisor)
            return await _end(supervisor, endings)
    finally:
        await supervisor.stop()


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    task.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        _log.error("a part of the supervisor has ended: %r", exc, exc_info=exc)


@contextlib.asynccontextmanager
async def _admin(
    supervisor: Supervisor, observations: Observations, registry: CollectorRegistry
) -> AsyncIterator[None]:
    """Serve the admin API at the address of the configuration. Raises ListenError."""
    app = create_app(supervisor, observations, registry)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    address = supervisor.live.config.admin.address
    try:
        if isinstance(address, UnixAddress):
            await web.UnixSite(runner, address.path).start()
        else:
            assert isinstance(address, TcpAddress)
            await web.TCPSite(runner, address.host, address.port).start()
    except OSError as exc:
        await runner.cleanup()
        raise ListenError(
            f"the admin address {address} cannot be listened on: {exc.strerror or exc}. Set another one as admin.address."
        ) from exc
    try:
        yield
    finally:
        await runner.cleanup()


def _tell_beginning(supervisor: Supervisor) -> None:
    """One line for each thing that a person wants to know now."""
    live = supervisor.live
    for group in supervisor.listeners:
        for name in dict.fromkeys(listener.name for listener in group):
            _log.info("listening on %s", name)
    _log.info("admin API at %s", live.config.admin.address)
    _log.info("%d workers, state in %s", len(supervisor.slabs), live.config.state_dir)
    for sentence in supervisor.dropped:
        _log.warning("%s", sentence)
    for found in difference(live):
        why = f"{found.change.by}: {found.change.reason}" if found.change.reason else found.change.by
        at = datetime.fromtimestamp(found.change.at_wall_seconds, UTC).isoformat(" ", "seconds")
        _log.info("%s is %s (from the state, %s, %s) instead of %s", found.path, found.live, at, why, found.file)


def _on_reload(supervisor: Supervisor) -> None:
    """SIGHUP reads the file again, SIGUSR1 opens the access logs again."""
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = loop.create_task(_reload(supervisor))
        running.add(task)
        task.add_done_callback(running.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    loop.add_signal_handler(signal.SIGUSR1, supervisor.reopen_logs)


async def _reload(supervisor: Supervisor) -> None:
    try:
        for notice in await supervisor.reload():
            _log.warning("%s", notice)
        _log.info("the file was read again: generation %d is served", supervisor.live.generation)
    except ConfigError as exc:
        _log.error("the file was not taken, what was served goes on:\n%s", exc)
    except Refused as exc:
        _log.error("the file was not taken, what was served goes on: %s", exc)


def _endings() -> asyncio.Queue[signal.Signals]:
    """The signals that end the proxy, as they come."""
    endings: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, endings.put_nowait, number)
    return endings


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
            return FAILED
    killed = drain.result()
    if killed:
        _log.warning("%d workers were ended before they were done", killed)
    return 0
