"""What the workers are told: the live state with everything that goes with it, and how news of it reaches them.

Owns the slots and the counters, what is known of endpoints, and what was sent last. Must not decide on a change, save
it or wait for anybody (`proxy.supervisor`).

Rules:
1. Nothing here waits, so a health flip and a change never mix: each message holds what was true when it was sent.
2. Only what differs from what was sent last is sent; when the routes or the list of services differ, all of it.
3. Health and addresses keep the generation; they are pushed together, at most once in PUSH_PAUSE.
4. A slot is cleared in all slabs only while nothing counts in it, and before it is used again.

Units: seconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from proxy.certificates import Material
from proxy.control import Kind
from proxy.core import serving
from proxy.core.endpoints import EndpointTable
from proxy.core.live import Live
from proxy.core.serving import EndpointHealth
from proxy.core.slots import EndpointName, Slots
from proxy.core.snapshot import ClientTls, Settings, Snapshot, SocketAddress
from proxy.wire import counters
from proxy.wire.counters import Slab

PUSH_PAUSE: Final = 0.02

Send = Callable[[Kind, object], int]


class Dispatch:
    """The state of the workers as it should be. Raises OutOfSlots when the live state has no room in the counters."""

    def __init__(
        self,
        live: Live,
        cookie_secret: bytes,
        workers: int,
        material: Material,
        recalled: Mapping[EndpointName, EndpointHealth] | None = None,
    ) -> None:
        self.live = live
        #: What TLS is made of; it is sent with the next `adopt`.
        self.material = material
        self.slots: Final = Slots()
        self.known: Final = EndpointTable()
        self.counters: Final = counters.create(workers)
        self.slabs: Final = [Slab(self.counters, index) for index in range(workers)]
        self._send: Send = lambda kind, payload: 0
        self._cookie_secret: Final = cookie_secret
        self._touched: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.known.follow(live, time.monotonic(), at_start=True)
        if recalled:
            self.known.recall(recalled)
            self.known.follow(live, time.monotonic(), at_start=True)
        self._settings = self._settings_of(live)
        self._around: Final = serving.Surroundings(self.slots, self.known.of, workers, self.tls_of)
        self._served = serving.snapshot(live, self._around)
        self._served_material = material

    def send_by(self, send: Send) -> None:
        """From now on there are workers, and this sends to all of them."""
        self._send = send

    def greeting(self) -> Sequence[tuple[Kind, object]]:
        """What a new worker has to know."""
        return (("settings", self._settings), ("snapshot", self._served))

    def make_room(self, live: Live) -> None:
        """Give everything in a coming live state its slot. Raises OutOfSlots; what got one keeps it until `adopt`."""
        self._free_slots()
        try:
            serving.snapshot(live, self._around, self._kept(live))
        except Exception:
            self._keep_slots(self.live)
            raise

    def adopt(self, live: Live) -> list[int]:
        """Take up a live state that `make_room` was called for, and send it; returns the numbers of the messages."""
        kept = self._kept(live)
        differ = None if kept.routes is None else live.services.keys() - kept.services.keys()
        self.live = live
        self.known.follow(live, time.monotonic(), only=differ)
        sent = []
        settings = self._settings_of(live)
        if settings != self._settings:
            self._settings = settings
            sent.append(self._send("settings", settings))
        sent.append(self._serve(serving.snapshot(live, self._around, kept)))
        self._served_material = self.material
        self._keep_slots(live)
        return sent

    def _kept(self, live: Live) -> serving.Kept:
        """What of the snapshot served now holds for another live state too: nothing, when the file was read again."""
        if live.config is not self.live.config or self.material is not self._served_material:
            return serving.NOTHING_KEPT
        return serving.Kept(
            {
                served.name: served
                for served in self._served.services
                if live.services[served.name] is self.live.services[served.name] and served.name not in self._touched
            },
            self._served.routes,
        )

    def set_health(self, name: EndpointName, *, healthy: bool, detail: str) -> bool:
        """Note what a check has found. True when the endpoint came up or went down by it."""
        is_news = self.known.set_health(name, time.monotonic(), healthy=healthy, detail=detail)
        if is_news:
            self._push_soon(name[0])
        return is_news

    def set_sockets(self, name: EndpointName, sockets: tuple[SocketAddress, ...]) -> None:
        """Note where the name of an endpoint leads."""
        if self.known.set_sockets(name, sockets):
            self._push_soon(name[0])

    def in_flight(self, name: EndpointName) -> int:
        """The attempts at an endpoint that have not ended."""
        slot = self.slots.endpoints.find(name)
        return sum(slab.read_endpoint(slot)["in_flight"] for slab in self.slabs) if slot is not None else 0

    def ejected_workers(self, name: EndpointName) -> int:
        """How many workers send an endpoint nothing because it failed them."""
        slot = self.slots.endpoints.find(name)
        return sum(slab.read_endpoint(slot)["ejected"] for slab in self.slabs) if slot is not None else 0

    def tls_of(self, service: str, version: str) -> ClientTls | None:
        """How the endpoints of a version are spoken to; None: without TLS."""
        return self.material.upstream(service, version)

    def heartbeat(self, worker: int) -> float:
        """When a worker gave its last sign of life."""
        return self.slabs[worker].read_worker()["heartbeat_ns"] / 1e9

    def bury(self, worker: int) -> None:
        """Settle what a dead worker left open in its counters."""
        self.slabs[worker].bury(self.slots.versions.in_use(), self.slots.endpoints.in_use())

    def close(self) -> None:
        """Push nothing more, and give the counters back."""
        if self._timer is not None:
            self._timer.cancel()
        os.close(self.counters)

    def _settings_of(self, live: Live) -> Settings:
        material = self.material
        return serving.settings(live.config, self._cookie_secret, material.listeners, material.ticket_keys)

    def _push_soon(self, service: str) -> None:
        self._touched.add(service)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PUSH_PAUSE, self._push)

    def _push(self) -> None:
        self._timer = None
        touched, self._touched = self._touched, set()
        services = tuple(
            serving.service(self.live, old.name, self._around) if old.name in touched else old
            for old in self._served.services
        )
        self._serve(replace(self._served, services=services))

    def _serve(self, new: Snapshot) -> int:
        old, self._served = self._served, new
        names = [[service.name for service in snapshot.services] for snapshot in (old, new)]
        if old.routes != new.routes or names[0] != names[1]:
            return self._send("snapshot", new)
        changed = tuple(after for before, after in zip(old.services, new.services, strict=True) if before != after)
        return self._send("services", (new.generation, changed))

    def _keep_slots(self, live: Live) -> None:
        versions = {(name, version) for name, service in live.services.items() for version in service.versions}
        endpoints = {
            (name, version, endpoint.address)
            for name, version in versions
            for endpoint in live.services[name].versions[version]
        }
        self.slots.keep(versions, endpoints, time.monotonic())

    def _free_slots(self) -> None:
        """Clear what has rested long enough, so that it can be used again."""
        now = time.monotonic()
        for slot in self.slots.versions.rested(now):
            if not any(slab.read_pulse(slot)[1] for slab in self.slabs):
                for slab in self.slabs:
                    slab.clear_version(slot)
                self.slots.versions.free(slot)
        for slot in self.slots.endpoints.rested(now):
            if not any(slab.read_endpoint(slot)["in_flight"] for slab in self.slabs):
                for slab in self.slabs:
                    slab.clear_endpoint(slot)
                self.slots.endpoints.free(slot)
