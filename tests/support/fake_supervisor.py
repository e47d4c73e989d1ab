"""A supervisor without workers: real live state, slots and counters, and a list of what it was told."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from proxy.certificates import Material
from proxy.core.endpoints import EndpointTable
from proxy.core.live import Live
from proxy.core.outcome import Outcome
from proxy.core.serving import EndpointHealth
from proxy.core.slots import Slots
from proxy.core.snapshot import ClientTls, SocketAddress
from proxy.crew import WorkerState
from proxy.leases import Leases
from proxy.succession import Succession
from proxy.wire import counters
from proxy.wire.counters import Slab
from tests.support.lives import a_live


@dataclass
class FakeEvents:
    """What was published, oldest first."""

    published: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def publish(self, kind: str, **fields: Any) -> None:
        self.published.append((kind, fields))


class FakeSupervisor:
    """Takes steps at once; `workers` slabs of counters that tests write as workers do."""

    def __init__(self, live: Live | None = None, workers: int = 1, versions: int = 64, endpoints: int = 128) -> None:
        self.known = EndpointTable()
        self._live = a_live() if live is None else live
        self.known.follow(self._live, 0.0, at_start=True)
        self.slots = Slots(versions, endpoints)
        self.events = FakeEvents()
        self.leases = Leases(self)
        self.worker_states: list[WorkerState] = []
        self.draining = False
        self.succession = Succession()
        self.material = Material()
        self.reloads = {"ok": 0, "failed": 0}
        self.last_reload_failed = False
        self.told: list[tuple[str, bool, str]] = []  # address, healthy, detail
        fd = counters.create(workers, versions, endpoints)
        self.slabs = [Slab(fd, worker) for worker in range(workers)]
        os.close(fd)

    @property
    def live(self) -> Live:
        return self._live

    @live.setter
    def live(self, live: Live) -> None:
        self._live = live
        self.known.follow(live, 0.0)

    async def change(self, step: Callable[[Live], Live], *, if_match: int | None = None) -> Live:
        assert if_match is None
        self.live = step(self.live)
        return self.live

    def tls_of(self, service: str, version: str) -> ClientTls | None:
        return self.material.upstream(service, version)

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        return self.known.of(service, version, address)

    def set_health(self, service: str, version: str, address: str, healthy: bool, detail: str) -> None:
        self.told.append((address, healthy, detail))
        self.known.set_health((service, version, address), 0.0, healthy=healthy, detail=detail)

    def set_sockets(self, service: str, version: str, address: str, sockets: tuple[SocketAddress, ...]) -> None:
        self.known.set_sockets((service, version, address), sockets)

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
