"""Active health checks: probes every checked endpoint, again and again, and tells the supervisor what changes.

Owns when an endpoint is probed and what is known of its health. What a probe is, `proxy.probes` owns; what it means,
`proxy.core.health`.

1. It follows the live state: an endpoint is probed from the moment it is there until it is gone, whatever its weight
   and its state. Whether it counts as well before its first probe, the supervisor knows.
2. First probes of endpoints that are up are spread over an interval, those of endpoints that are not come at once. At
   most `at_once` probes run side by side.
3. While our own process stands still, answers wait unread: a probe that failed over such a stall tells nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from config.model import Health as Check
from proxy.chores import Chores
from proxy.core.health import Health, Thresholds, probed, unprobed
from proxy.core.live import Live
from proxy.core.serving import EndpointHealth
from proxy.core.snapshot import ClientTls
from proxy.probes import Probed, probe

EndpointName = tuple[str, str, str]

#: How soon a change of the live state is noticed.
PERIOD: Final = 0.1
AT_ONCE: Final = 128
#: A stall of this part of a probe's timeout may have made it fail.
STALL_SHARE: Final = 0.25


class Supervisor(Protocol):
    """What this needs of the supervisor."""

    @property
    def live(self) -> Live:
        """The services and endpoints of now."""

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        """What is known of an endpoint, its socket addresses among it."""

    def tls_of(self, service: str, version: str) -> ClientTls | None:
        """How the endpoints of a version are spoken to; None: without TLS."""

    def set_health(self, service: str, version: str, address: str, healthy: bool, detail: str) -> None:
        """Take note of an endpoint's health."""


class Stalls:
    """The times in which this process did not run, seen by a tick that came late."""

    TICK: Final = 0.05

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=100)  # when it ran again, how late that was
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Begin to tick."""
        now = time.monotonic()
        if self._timer is not None and now - self._due > self.TICK:
            self._seen.append((now, now - self._due))
        self._due = now + self.TICK
        self._timer = asyncio.get_running_loop().call_later(self.TICK, self.watch)

    def close(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()

    def longest_since(self, began: float) -> float:
        """The longest stall that ended after `began`, in seconds."""
        return max((late for ended, late in self._seen if ended > began), default=0.0)


class Prober:
    """Probes the endpoints of all services that say how."""

    def __init__(
        self,
        supervisor: Supervisor,
        at_once: int = AT_ONCE,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._supervisor = supervisor
        self._draw = draw
        self._places = asyncio.Semaphore(at_once)
        self._stalls = Stalls()
        self._chores: Chores[EndpointName, Check] = Chores(self._watch)
        self._health: dict[EndpointName, Health] = {}

    async def run(self) -> None:
        """Probe until it is cancelled."""
        self._stalls.watch()
        live: Live | None = None
        try:
            while True:
                if live is not self._supervisor.live:
                    live = self._supervisor.live
                    self._follow(live)
                await asyncio.sleep(PERIOD)
        finally:
            self._stalls.close()
            await self._chores.close()

    def _follow(self, live: Live) -> None:
        checks = _checks(live)
        self._health = {name: self._health.get(name) or self._unprobed(name) for name in checks}
        self._chores.follow(checks)

    def _unprobed(self, name: EndpointName) -> Health:
        return unprobed(counts_as_well=self._supervisor.health_of(*name).healthy)

    async def _watch(self, name: EndpointName, check: Check) -> None:
        """Probe one endpoint for as long as it is there."""
        if self._health[name].is_up:
            await asyncio.sleep(self._draw(0, check.interval))
        while True:
            due = time.monotonic() + check.interval * self._draw(1 - check.jitter, 1 + check.jitter)
            self._judge(name, check, await self._probe(name, check))
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _probe(self, name: EndpointName, check: Check) -> Probed:
        async with self._places:
            sockets = self._supervisor.health_of(*name).sockets
            if not sockets:
                # Its name has not been resolved: nobody sends it anything, and the resolver says why.
                return Probed(None, "no address")
            began = time.monotonic()
            result = await probe(check, name[2], sockets, self._supervisor.tls_of(name[0], name[1]))
        if not result.answered and self._stalls.longest_since(began) > STALL_SHARE * check.timeout:
            return Probed(None, result.detail)
        return result

    def _judge(self, name: EndpointName, check: Check, result: Probed) -> None:
        if result.good is None:
            return
        old = self._health[name]
        new = probed(old, "good" if result.good else "bad", Thresholds(check.rise, check.fall))
        self._health[name] = new
        known = self._supervisor.health_of(*name)
        detail = result.detail + _progress(new, check)
        if (known.healthy, known.detail) != (new.is_up, detail):
            self._supervisor.set_health(*name, new.is_up, detail)


def _progress(health: Health, check: Check) -> str:
    """How far the endpoint is from turning: "(2 of 3)"."""
    needed = check.fall if health.is_up else check.rise
    return f" ({health.against} of {needed})" if health.against else ""


def _checks(live: Live) -> dict[EndpointName, Check]:
    """Every endpoint that is checked, and how."""
    return {
        (name, version, endpoint.address): check
        for name, service in live.services.items()
        if (check := live.config.services[name].health) is not None
        for version, endpoints in service.versions.items()
        for endpoint in endpoints
    }
