"""One worker process: it serves the data path and does what the supervisor says.

Owns the event loop of the process, its listeners, and the answers on the control channel. Must not decide anything that
concerns more than this process.

Rules:
1. Messages are worked through in order, each answered once it is in force.
2. It serves nothing before it has settings and a snapshot, and says `ready` when it does.
3. Without its supervisor it drains and ends: what it serves could no longer be changed.
4. Where the file names a user, it is that one before it reads, opens or hears anything.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import time
from typing import cast

from proxy.accesslog import LogFile
from proxy.account import become, parse_account
from proxy.control import Channel, Message, open_channel
from proxy.core.snapshot import AccessLog, ServerTls, Service, Settings, Snapshot
from proxy.wire import draining
from proxy.wire.contexts import server_context
from proxy.wire.counters import Slab
from proxy.wire.listener import Listener
from proxy.wire.logline import CombinedLines, JsonLines, Lines, attach
from proxy.wire.newcomer import IntroducedListener
from proxy.wire.plane import Plane
from proxy.wire.poller import Poller
from webapi.standard_error import speak_on_standard_error

log = logging.getLogger(__name__)

#: Descriptors that a worker can watch; its tables take 20 bytes for each.
DESCRIPTORS_MOST = 262_144
#: Between two looks at what is left to drain, seconds.
DRAIN_LOOK = 0.05
#: How long idle connections may still ask something after a drain has begun, seconds.
DRAIN_IDLE = 2.0
NS = 1_000_000_000
WINDOW_NS = 10 * NS


class Worker:
    """The worker's life, from its first message to its exit."""

    def __init__(self, slab: Slab, listeners: list[dict[str, object]]) -> None:
        self.poller = Poller(_descriptor_limit(), self._tick)
        self.plane = Plane(self.poller, slab)
        self._specs = listeners
        self._listeners: list[Listener] = []
        self._contexts: list[ssl.SSLContext | None] = []
        self._tls: tuple[tuple[ServerTls | None, ...], bytes] = ((), b"")
        self._channel: Channel | None = None
        self._log_wanted = AccessLog()
        self._log_file: LogFile | None = None
        self._lines: Lines | None = None
        self._second = self._window = 0
        self._has_settings = self._is_ready = False
        self._ending: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._slab = slab

    async def run(self, control: socket.socket) -> None:
        """Serve until told to drain, or until the supervisor is gone."""
        self._channel = await open_channel(control, self._received, self._lost)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: self._drain(self._drain_timeout()))
        await self._ended.wait()

    # What the supervisor says

    def _received(self, message: Message) -> None:
        error: str | None = None
        try:
            self._act(message)
        except Exception as exc:
            log.exception("cannot do what the supervisor says: %s", message.kind)
            error = f"{type(exc).__name__}: {exc}"
        self._send(Message(message.seq, "ack", error))
        if self._has_settings and self.plane.generation and not self._is_ready:
            self._listen()

    def _act(self, message: Message) -> None:
        payload = message.payload
        if message.kind == "settings":
            self._configure(cast("Settings", payload))
        elif message.kind == "snapshot":
            self._apply(cast("Snapshot", payload))
        elif message.kind == "services":
            generation, services = cast("tuple[int, tuple[Service, ...]]", payload)
            self.plane.replace(generation, services)
            self._drain_endpoints(services)
        elif message.kind == "drain":
            self._drain(float(payload))
        elif message.kind == "reopen_logs" and self._log_file is not None:
            self._log_file.reopen()

    def _configure(self, settings: Settings) -> None:
        if settings.access_log != self._log_wanted:
            self._open_log(settings.access_log)
        self._secure(settings)
        self.plane.configure(settings)
        if self.plane.max_clients < 0.9 * settings.connections:  # a few less are nothing to tell
            log.warning(
                "limits.connections is %d, but so few files may be open that this worker takes %d; raise the limit "
                "(ulimit -n, LimitNOFILE= of systemd)",
                settings.connections,
                self.plane.max_clients,
            )
        self._has_settings = True

    def _secure(self, settings: Settings) -> None:
        """Take certificates for the connections that begin from now on. Raises ssl.SSLError, ValueError."""
        wanted = settings.tls, settings.ticket_keys
        if wanted != self._tls:
            self._contexts = [
                server_context(tls, settings.ticket_keys) if tls is not None else None for tls in settings.tls
            ]
            self._tls = wanted
            for listener, spec in zip(self._listeners, self._specs, strict=False):  # none before it is ready
                listener.context = self._context(spec)

    def _context(self, spec: dict[str, object]) -> ssl.SSLContext | None:
        return self._contexts[cast("int", spec["tls"])] if spec["tls"] is not None else None

    def _apply(self, snapshot: Snapshot) -> None:
        if not self._has_settings:
            raise RuntimeError("a snapshot before the settings")
        self.plane.apply(snapshot)
        self._drain_endpoints(snapshot.services)

    def _drain_endpoints(self, services: tuple[Service, ...]) -> None:
        for service in services:
            slots = {e.slot for version in service.versions for e in version.endpoints if e.state == "drain"}
            if slots:
                deadline = time.monotonic_ns() + int(service.drain_timeout * NS)
                draining.drain_endpoints(self.plane, slots, deadline, int(service.drain_jitter * NS))

    def _listen(self) -> None:
        self._is_ready = True
        self._listeners = [
            (IntroducedListener if spec.get("introduced") else Listener)(
                self.plane, cast("int", spec["fd"]), str(spec["name"]), self._context(spec), _https_of(spec)
            )
            for spec in self._specs
        ]
        gc.collect()
        gc.freeze()
        self._send(Message(0, "ready", self.plane.generation))

    def _send(self, message: Message) -> None:
        if self._channel is not None:
            self._channel.send(message)

    def _lost(self) -> None:
        self._channel = None
        if self._ending is None:
            log.warning("the supervisor is gone: finishing what is in flight, then ending")
            self._drain(self._drain_timeout())

    # The access log

    def _open_log(self, wanted: AccessLog) -> None:
        if self._lines is not None:
            self._lines.flush()
        if self._log_file is not None:
            self._log_file.close()
        self._log_file, self._lines = None, None
        if wanted.format != "off":
            self._log_file = LogFile(wanted.path)
            kind = JsonLines if wanted.format == "json" else CombinedLines
            self._lines = kind(self._log_file.put, wanted.fields)
        attach(self.plane, self._lines)
        self._log_wanted = wanted

    # Time

    def _tick(self, now: int) -> None:
        second, window = now // NS, now // WINDOW_NS
        if second != self._second:
            draining.follow(self.plane, now)
        self.plane.settle(now, second != self._second, window != self._window)
        self._second, self._window = second, window
        self.plane.beat(now)
        if self._lines is not None and self._log_file is not None:
            self._lines.flush()
            self.plane.count_dropped(self._log_file.dropped)

    # The end

    def _drain_timeout(self) -> float:
        return self.plane.settings.drain_timeout if self._has_settings else Settings().drain_timeout

    def _drain(self, timeout: float) -> None:
        """Stop taking connections; the rest takes time."""
        if self._ending is None:
            for listener in self._listeners:
                listener.stop()
            draining.begin(self.plane, time.monotonic_ns(), int(timeout * NS))
            self._ending = asyncio.get_running_loop().create_task(self._end(timeout))

    async def _end(self, timeout: float) -> None:
        """Finish, and tell so."""
        begun = time.monotonic()
        while draining.connections(self.plane) and time.monotonic() < begun + timeout:
            await asyncio.sleep(DRAIN_LOOK)
            draining.follow(self.plane, time.monotonic_ns())
            if time.monotonic() > begun + min(DRAIN_IDLE, timeout / 2):
                draining.close_idle(self.plane)
        if left := draining.connections(self.plane):
            log.warning("the drain took %.1f s: ending %d connections that were not done", timeout, left)
            draining.reset_all(self.plane)
        if self._lines is not None and self._log_file is not None:
            self._lines.flush()
            self._log_file.close()
        self._send(Message(0, "drained"))
        if self._channel is not None:
            self._channel.close()
        self._ended.set()


def _https_of(spec: dict[str, object]) -> bytes | None:
    """What follows the host where a listener sends everybody; None: it serves."""
    place = spec.get("redirect")
    return str(place).removeprefix("https").removesuffix(":443").encode() if place is not None else None


def _descriptor_limit() -> int:
    """Raise our limit of open files to what the system allows; the number that a worker can watch."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = hard if hard != resource.RLIM_INFINITY else DESCRIPTORS_MOST
    return min(limit, DESCRIPTORS_MOST)


def main(arguments: list[str] | None = None) -> int:
    """Run as a program of the supervisor's."""
    parser = argparse.ArgumentParser(prog="serinus-worker")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--counters", type=int, required=True)
    parser.add_argument("--worker", type=int, required=True)
    parser.add_argument("--listeners", type=json.loads, required=True)
    parser.add_argument("--account", type=parse_account)
    options = parser.parse_args(arguments)
    if options.account is not None:
        become(options.account)
    speak_on_standard_error(f"serinus worker {options.worker} [%(levelname)s] %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    slab = Slab(options.counters, options.worker)
    os.close(options.counters)
    gc.set_threshold(50_000, 20, 50)
    worker = Worker(slab, options.listeners)
    loop = asyncio.SelectorEventLoop(worker.poller)  # type: ignore[arg-type]  # it is a selector by its methods
    try:
        loop.run_until_complete(worker.run(socket.socket(fileno=options.control)))
    finally:
        loop.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
