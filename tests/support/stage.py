"""A worker with a test on both sides of it, and the accounts of what passed.

Owns the connections of one test. When a scene ends, every gauge must be back at zero and every attempt must have ended
in one outcome: that is checked behind each test.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from proxy.core.outcome import Outcome, Reason
from proxy.core.snapshot import Endpoint, Service, Settings, Version
from tests.support.one_worker import OneWorker
from tests.support.peers import PATIENCE, Message, Peer, Upstream, cuts

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
VERSION_SLOTS = range(4)
ENDPOINT_SLOTS = range(8)


@dataclass(frozen=True)
class Counts:
    """What was counted: requests by status, the words of what went wrong, attempts by outcome."""

    requests: dict[int, int]
    reasons: dict[str, int]
    attempts: dict[str, int]


def eventually(condition: Callable[[], object]) -> None:
    """Return as soon as the condition is true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


class Stage:
    """One scene: `client()` on one side, `upstream` on the other. Settings and the service may be changed within it."""

    def __init__(self, worker: OneWorker, addresses: dict[str, Any], path: Path, errors: IO[str]) -> None:
        self.worker = worker
        self._addresses = {"ipv4": worker.address, **addresses}
        self._path = path
        self._errors = errors
        self._clients: list[Peer] = []
        self._upstreams: list[Upstream] = []
        self.upstream = self.new_upstream()
        self.limit()
        self.serve()
        self._before = self._totals()
        self._connects = self.connects()

    # Before

    def limit(self, **settings: Any) -> None:
        """The settings of clients: those named, and defaults."""
        assert self.worker.say("settings", replace(Settings(drain_timeout=0.2), **settings)) is None

    def serve(self, *upstreams: Upstream, limit: int = 0, **fields: Any) -> None:
        """The service: its one version has these endpoints (default: `upstream`), each for so many requests at once."""
        endpoints = tuple(
            Endpoint(upstream.address, slot, upstream.sockets)
            for slot, upstream in enumerate(upstreams or (self.upstream,), 1)
        )
        version = Version("v1", 1, endpoints, max_connections=limit)
        fields = {"fresh_after": 0.0, **fields}  # what a test shows must not depend on how long it takes
        self.worker.serve(Service("shop", (version,), (1.0,), 0, ejection=None, **fields))

    def new_upstream(self, *, unix: bool = False) -> Upstream:
        self._upstreams.append(Upstream(self._path / f"u{len(self._upstreams)}" if unix else None))
        return self._upstreams[-1]

    # The scene

    def client(self, *, unix: bool = False, narrow: bool = False, source: str = "127.0.0.1") -> Peer:
        """A new connection to the worker. `narrow`: hardly anything fits between the two."""
        sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET6 if ":" in source else socket.AF_INET)
        self._clients.append(Peer(sock))
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        if not unix:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.bind((source, 0))
        listener = "unix" if unix else "narrow" if narrow else "ipv6" if ":" in source else "ipv4"
        sock.connect(self._addresses[listener])
        return self._clients[-1]

    def ask(self, request: bytes, client: Peer | None = None) -> tuple[Peer, Peer, Message]:
        """Send a request: the client, the upstream connection that it came by, and what came."""
        client = (client or self.client()).send(request)
        side = self.upstream.asked()
        return client, side, side.message()

    def exchange(self, request: bytes, answer: bytes = OK, client: Peer | None = None) -> tuple[Message, Message]:
        """A request and its response: what the upstream saw and what the client got."""
        client, side, seen = self.ask(request, client)
        side.send(answer)
        return seen, client.message(to=request.split(b" ")[0])

    def refused(self, request: bytes) -> Message:
        """The proxy's own answer to this request. Nothing of it went upstream, and the connection ended behind it."""
        client = self.client().send(request)
        answer = client.message()
        assert client.rest() == b""
        assert self.connects() == self._connects
        return answer

    def refused_in_pieces(self, request: bytes) -> set[int]:
        """The statuses of all answers to this request, sent byte by byte and cut in two at every position."""
        statuses = set()
        for parts in cuts(request):
            client = self.client(unix=True).send_apart(*parts)
            statuses.add(client.message().status)
            assert client.rest() == b""
            client.close()
        assert self.connects() == self._connects
        return statuses

    # After

    def connects(self) -> int:
        """Connections made to endpoints so far."""
        return sum(self.worker.slab.read_endpoint(slot)["connects"] for slot in ENDPOINT_SLOTS)

    def attempts(self, outcome: str) -> int:
        """Attempts of this scene that have ended so until now."""
        number = Outcome[outcome.upper()]
        return self._totals()[2].get(number, 0) - self._before[2].get(number, 0)

    def gauges(self) -> dict[str, int]:
        """What must be zero when nobody is connected."""
        slab = self.worker.slab
        endpoints = [slab.read_endpoint(slot) for slot in ENDPOINT_SLOTS]
        return {
            "clients": slab.read_worker()["connections"],
            "tunnels": slab.read_worker()["tunnels"],
            "requests in flight": sum(slab.read_version(slot)["in_flight"] for slot in VERSION_SLOTS),
            "in flight at endpoints": sum(endpoint["in_flight"] for endpoint in endpoints),
            "connections to endpoints": sum(endpoint["connections"] for endpoint in endpoints),
        }

    def counts(self) -> Counts:
        """End the scene; what was counted in it."""
        for peer in self._clients:
            peer.close()
        eventually(lambda: self.worker.slab.read_worker()["connections"] == 0)
        for upstream in self._upstreams:
            upstream.close()
        eventually(lambda: not any(self.gauges().values()))
        self.limit()  # when it is in force, the event that closed the last connection is over too
        requests, reasons, attempts, _ = (
            {key: n - before.get(key, 0) for key, n in after.items() if n != before.get(key, 0)}
            for before, after in zip(self._before, self._totals(), strict=True)
        )
        return Counts(
            requests,
            {Reason(reason).label: n for reason, n in reasons.items()},
            {Outcome(outcome).label: n for outcome, n in attempts.items()},
        )

    def end(self) -> None:
        """Check the accounts."""
        counts = self.counts()
        started = self._totals()[3][0] - self._before[3][0]
        assert sum(counts.attempts.values()) == started, "every attempt ends in one outcome"
        assert self.worker.program.poll() is None
        complaints = self._errors.read()
        assert "Traceback" not in complaints, complaints

    def _totals(self) -> tuple[dict[int, int], ...]:
        versions = [self.worker.slab.read_version(slot) for slot in VERSION_SLOTS]
        outcomes = [self.worker.slab.read_endpoint(slot)["outcomes"] for slot in ENDPOINT_SLOTS]
        return (
            _sum(version["requests"] for version in versions),
            _sum(version["reasons"] for version in versions),
            _sum(dict(enumerate(some)) for some in outcomes),
            {0: sum(version["started"] for version in versions)},
        )


def _sum(counts: Any) -> dict[int, int]:
    total: dict[int, int] = {}
    for some in counts:
        for key, n in some.items():
            total[key] = total.get(key, 0) + n
    return total
