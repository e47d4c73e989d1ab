"""The whole controller in the foreground: what it is made of, how it begins, how it ends.

Owns the assembly and the order of beginning and ending. Must not do the work of its parts.

1. Nothing is opened before the configuration is known to be good, and nothing is decided before the lease is ours.
2. SIGTERM, SIGQUIT and SIGINT end it at once: nothing has to be finished, since everything is in the journal and the
   proxies go on as they are. SIGHUP reads the file again, for rollouts that are started from then on.
3. It tells once a second that it is alive; a gap in that does not count as time of a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from config.address import InheritedSocket, ListenAddress, UnixAddress
from config.controller import led_proxies
from config.load import load
from config.model import Config
from config.notices import notices
from config.problems import ConfigError, Problem
from controller.api.app import create_app
from controller.clock import Clock
from controller.conductor import Conductor
from controller.core.book import Happened
from controller.core.transitions import BadClock, IllegalTransition
from controller.hooks import Hooks
from controller.journal import Journal, JournalError
from controller.lease import Lease, LeaseError
from controller.loop import Tools
from controller.metrics import ControllerCollector
from controller.notify import Notifier
from controller.proxies import Proxy
from webapi.serving import runner_of
from webapi.standard_error import speak_on_standard_error
from webapi.systemd import ServiceNotes

FAILED: Final = 1
INTERRUPTED: Final = 128 + signal.SIGINT
ALIVE_SECONDS: Final = 1.0
SOON: Final = 2.0  # a lease that nobody holds is taken by then

_FOLDER: Final = "controller"
_ENDING: Final = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)
_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The API cannot be served where the file says; the text says why."""


def run(config_path: str | Path) -> int:
    """Lead the rollouts of a configuration until a signal ends it; returns the exit code.

    Raises:
        ConfigError: the file cannot be used; nothing was started.
    """
    path = Path(config_path)
    config = load(path)
    try:
        led_proxies(config.controller, config.admin)
    except ValueError as exc:
        raise ConfigError(str(path), [Problem("controller.proxies", str(exc))]) from exc
    speak_on_standard_error("serinus [%(levelname)s] %(message)s")
    try:
        return uvloop.run(_serve(config, path))
    except (LeaseError, JournalError, CannotListen) as exc:
        print(f"serinus: {exc}", file=sys.stderr)
        return FAILED


async def _serve(config: Config, path: Path) -> int:
    endings = _take_endings()
    folder = config.state_dir / _FOLDER
    notes = ServiceNotes(os.environ, os.getpid())
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(_running(notes.stay_alive()))
        # One that waits does what it is there for: whoever has started it need not wait too.
        waiting = asyncio.get_running_loop().call_later(SOON, notes.ready, "waits: another controller leads")
        stack.callback(waiting.cancel)
        lease = await _first(Lease.take(folder), endings)
        waiting.cancel()
        if isinstance(lease, signal.Signals):
            return _exit_code(lease)
        stack.callback(lease.close)
        conductor = await _assemble(config, folder, stack)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, conductor, path, notes)
        places = await _serve_api(config, conductor, stack)
        conductor.begin()
        _tell_beginning(conductor, places)
        await stack.enter_async_context(_staying_alive(conductor))
        notes.ready(_leading(conductor))
        number = await endings.get()
        _log.info("%s: ending; the proxies go on as they are", number.name)
        notes.stopping("ending; the proxies go on as they are")
        return _exit_code(number)


async def _assemble(config: Config, folder: Path, stack: contextlib.AsyncExitStack) -> Conductor:
    """Everything that decides, not begun yet. Raises JournalError."""
    journal = Journal(folder)
    stack.callback(journal.close)
    session = await stack.enter_async_context(aiohttp.ClientSession())
    proxies = {proxy.name: proxy for proxy in map(Proxy, led_proxies(config.controller, config.admin))}
    for proxy in proxies.values():
        stack.push_async_callback(proxy.close)
    try:
        hooks = Hooks(folder / "runs", session)
    except OSError as exc:
        raise LeaseError(f"{folder} cannot be used: {exc.strerror or exc}") from exc
    stack.push_async_callback(hooks.close)
    tools = Tools(proxies, _clock(folder, journal), hooks, session, folder, config.controller.interval)
    try:
        conductor = Conductor(config, journal, tools)
    except (IllegalTransition, BadClock, ValueError, KeyError) as exc:
        raise JournalError(f"{journal.path} holds what cannot have happened: {exc}") from exc
    stack.push_async_callback(conductor.close)
    notifier = Notifier(folder, journal, config.controller.notify, session)
    stack.push_async_callback(notifier.close)
    conductor.listen(notifier.wake)
    notifier.start()
    return conductor


def _clock(folder: Path, journal: Journal) -> Clock:
    """The clock, going on from the journal's last entry."""
    entries = [record.entry for record in journal.records]
    at = max((entry.event.at if isinstance(entry, Happened) else entry.at for entry in entries), default=0.0)
    return Clock(folder, at, journal.records[-1].wall if entries else 0.0)


async def _serve_api(config: Config, conductor: Conductor, stack: contextlib.AsyncExitStack) -> list[str]:
    """Serve the API; where. Raises CannotListen."""
    registry = CollectorRegistry()
    registry.register(ControllerCollector(conductor))
    runner = runner_of(create_app(conductor, registry))
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    address = config.controller.address
    try:
        await _site(runner, address).start()
    except OSError as exc:
        raise CannotListen(f"controller.address {address} cannot be listened on: {exc.strerror or exc}") from exc
    return [_name(address, place) for place in runner.addresses]


def _site(runner: web.AppRunner, address: ListenAddress) -> web.BaseSite:
    if isinstance(address, UnixAddress):
        Path(address.path).unlink(missing_ok=True)  # of a controller that was killed: the lease is ours
        return web.UnixSite(runner, address.path)
    if isinstance(address, InheritedSocket):
        return web.SockSite(runner, socket.socket(fileno=address.fd))
    return web.TCPSite(runner, address.host, address.port)


def _name(address: ListenAddress, place: object) -> str:
    """Where it listens; a port that the system has chosen is known only now."""
    if isinstance(place, tuple):
        return f"[{place[0]}]:{place[1]}" if ":" in place[0] else f"{place[0]}:{place[1]}"
    return str(address)


def _tell_beginning(conductor: Conductor, places: list[str]) -> None:
    for place in places:
        _log.info("controller API on %s", place)
    for notice in notices(conductor.config):
        _log.warning("%s", notice)
    for rollout in conductor.book.rollouts.values():
        if not rollout.has_ended:
            _log.info("%s goes on: it is %s", rollout.id, rollout.place)
    _log.info("%s; journal in %s", _leading(conductor), conductor.journal.path)


def _leading(conductor: Conductor) -> str:
    return f"leads {', '.join(conductor.tools.proxies)}"


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@contextlib.asynccontextmanager
async def _staying_alive(conductor: Conductor) -> AsyncIterator[None]:
    """Keep the clock, and write down what could not be written when it happened."""

    async def beat() -> None:
        while True:
            conductor.tools.clock.keep()
            conductor.flush()
            await asyncio.sleep(ALIVE_SECONDS)

    try:
        async with _running(beat()):
            yield
    finally:
        conductor.tools.clock.keep()


def _reload(conductor: Conductor, path: Path, notes: ServiceNotes) -> None:
    notes.reloading()
    _read_again(conductor, path)
    notes.ready(_leading(conductor))


def _read_again(conductor: Conductor, path: Path) -> None:
    try:
        config = load(path)
    except ConfigError as exc:
        _log.error("the file was not taken, what was read before goes on:\n%s", exc)
        return
    old, new = conductor.config.controller, config.controller
    for field in ("address", "proxies", "interval", "notify"):
        if getattr(old, field) != getattr(new, field):
            _log.warning("controller.%s has changed: restart the controller", field)
    if not (new.needs_token or old.address.is_local):
        _log.error("the file was not taken: others can reach %s, so a token is needed", old.address)
        return
    for notice in notices(config):
        _log.warning("%s", notice)
    served = new.model_copy(update={"address": old.address})
    conductor.config = config.model_copy(update={"controller": served})
    _log.info("the file was read again: rollouts that are started from now on are as it says")


def _take_endings() -> asyncio.Queue[signal.Signals]:
    """The signals that end the controller, as they come."""
    endings: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in _ENDING:
        asyncio.get_running_loop().add_signal_handler(number, endings.put_nowait, number)
    return endings


async def _first(taking: Coroutine[Any, Any, Lease], endings: asyncio.Queue[signal.Signals]) -> Lease | signal.Signals:
    """The lease, or the signal that comes before it. Raises LeaseError."""
    take, ending = asyncio.ensure_future(taking), asyncio.ensure_future(endings.get())
    await asyncio.wait({take, ending}, return_when=asyncio.FIRST_COMPLETED)
    if take.done():
        ending.cancel()
        return take.result()
    take.cancel()
    await asyncio.wait({take})
    return ending.result()


def _exit_code(number: signal.Signals) -> int:
    return INTERRUPTED if number == signal.SIGINT else 0
