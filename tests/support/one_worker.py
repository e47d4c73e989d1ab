"""A real worker process without a supervisor around it: a test says what the supervisor would say."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

from proxy.control import Decoder, Message, encode
from proxy.core.snapshot import Endpoint, Route, Service, Settings, Snapshot, Version
from proxy.wire.counters import Slab, create

Address = tuple[str, int]


def endpoint(slot: int, port: int, **fields: Any) -> Endpoint:
    return Endpoint(address=f"127.0.0.1:{port}", slot=slot, sockets=(("inet", "127.0.0.1", port),), **fields)


def service(ports: Sequence[Sequence[int]], weights: Sequence[float] | None = None, **fields: Any) -> Service:
    """A service `shop` with versions v1, v2, ... at these ports of 127.0.0.1."""
    slots = iter(range(1, 1000))
    versions = tuple(
        Version(f"v{i}", i, tuple(endpoint(next(slots), port) for port in some)) for i, some in enumerate(ports, 1)
    )
    return Service(name="shop", versions=versions, weights=tuple(weights or [1.0] * len(versions)), stable=0, **fields)


class OneWorker:
    """The worker, where it listens, and its counters. `also`: sockets that it listens on too; `errors`: its log.

    `settings.tls` is beside its own socket and then `also`.
    """

    def __init__(
        self,
        settings: Settings,
        snapshot: Snapshot,
        also: Sequence[socket.socket] = (),
        errors: IO[str] | None = None,
        redirect: str | None = None,
        introduced: bool = False,
    ) -> None:
        counters = create(1, 64, 256)
        self.slab = Slab(counters, 0)
        self.settings = settings
        self._generation = snapshot.generation
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address: Address = listening.getsockname()
        self._near, far = socket.socketpair()
        self._near.settimeout(20)
        self._decoder = Decoder()
        self._seq = 0
        fds = tuple(sock.fileno() for sock in (listening, *also))
        tls = [*settings.tls, *(None for _ in fds)]
        how = {"redirect": redirect, "introduced": introduced}
        listeners = json.dumps(
            [{"fd": fd, "name": "test", "tls": i if tls[i] is not None else None, **how} for i, fd in enumerate(fds)]
        )
        self.program = subprocess.Popen(
            [
                *(sys.executable, "-m", "proxy.worker", "--worker", "0", "--listeners", listeners),
                *(f"--control={far.fileno()}", f"--counters={counters}"),
            ],
            pass_fds=(far.fileno(), counters, *fds),
            stderr=errors,
        )
        far.close()
        listening.close()
        assert self.say("settings", settings) is None
        assert self.say("snapshot", snapshot) is None
        self.hear("ready")

    def hear(self, kind: str) -> Message:
        """The next message of this kind; others are passed over."""
        received = b""  # the last read may have brought more than one message
        while True:
            for message in self._decoder.feed(received):
                if message.kind == kind:
                    return message
            received = self._near.recv(65536) or _gone()

    def say(self, kind: Any, payload: object = None) -> str | None:
        """Tell the worker something; returns its error, None when it did it."""
        self._seq += 1
        self._near.sendall(encode(Message(self._seq, kind, payload)))
        error: str | None = self.hear("ack").payload
        return error

    def serve(self, *services: Service) -> None:
        """Replace services of the snapshot."""
        self._generation += 1
        assert self.say("services", (self._generation, services)) is None

    def end(self) -> int:
        """End it in its own time; its exit code."""
        self._near.close()
        return self.program.wait(20)


def _gone() -> bytes:
    raise AssertionError("the worker is gone")


@contextmanager
def one_worker(
    *services: Service,
    routes: Sequence[Route] = (),
    also: Sequence[socket.socket] = (),
    errors: IO[str] | None = None,
    redirect: str | None = None,
    introduced: bool = False,
    **settings: Any,
) -> Iterator[OneWorker]:
    """A worker that serves these services; without routes everything goes to the first."""
    chosen = replace(Settings(drain_timeout=0.2), **settings)
    snapshot = Snapshot(1, services, tuple(routes) or (Route(services[0].name),))
    worker = OneWorker(chosen, snapshot, also, errors, redirect, introduced)
    try:
        yield worker
    finally:
        assert worker.end() == 0
