"""A supervisor without workers: real live state, slots and counters, and a list of what it was told."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.core.live import Live
from proxy.core.outcome import Outcome
from proxy.core.serving import EndpointHealth, literal_sockets
from proxy.core.slots import Slots
from proxy.core.snapshot import SocketAddress
from proxy.wire import counters
from proxy.wire.counters import Slab
from tests.support.lives import a_live

Name = tuple[str, str, str]


@dataclass
class FakeEvents:
    """What was published, oldest first."""

    published: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def publish(self, kind: str, **fields: Any) -> None:
        self.published.append((kind, fields))


class FakeSupervisor:
    """Takes steps at once; `workers` slabs of counters that tests write as workers do."""

    def __init__(self, live: Live | None = None, workers: int = 1, versions: int = 64, endpoints: int = 128) -> None:
        self.live = a_live() if live is None else live
        self.slots = Slots(versions, endpoints)
        self.events = FakeEvents()
        self.known: dict[Name, EndpointHealth] = {}
        self.told: list[tuple[str, bool, str]] = []  # address, healthy, detail
        fd = counters.create(workers, versions, endpoints)
        self.slabs = [Slab(fd, worker) for worker in range(workers)]
        os.close(fd)

    async def change(self, step: Callable[[Live], Live], *, if_match: int | None = None) -> Live:
        assert if_match is None
        self.live = step(self.live)
        return self.live

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        new = EndpointHealth(True, sockets=literal_sockets(address))
        return self.known.setdefault((service, version, address), new)

    def set_health(self, service: str, version: str, address: str, healthy: bool, detail: str) -> None:
        self.told.append((address, healthy, detail))
        old = self.health_of(service, version, address)
        self.known[service, version, address] = replace(old, healthy=healthy, detail=detail)

    def set_sockets(self, service: str, version: str, address: str, sockets: tuple[SocketAddress, ...]) -> None:
        old = self.health_of(service, version, address)
        self.known[service, version, address] = replace(old, sockets=sockets)

    def attempt(
        self,
        version: str = "canary",
        outcome: Outcome | None = Outcome.OK,
        *,
        service: str = "shop",
        address: str = "",
        worker: int = 0,
        began: int = 0,
        duration: int = 1_000_000,
    ) -> None:
        """One attempt of a version at an endpoint, the first one by default; it stays in flight without an outcome."""
        slab = self.slabs[worker]
        address = address or self.live.endpoints(service, version)[0].address
        places = self.slots.version(service, version), self.slots.endpoint(service, version, address)
        slab.start_attempt(*places, began)
        if outcome is not None:
            slab.end_attempt(*places, outcome, began, began + duration)
