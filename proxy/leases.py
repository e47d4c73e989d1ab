"""Leases in the supervisor: when each was heard of last, and what follows when one has run out.

Owns the clock of the leases, and that each runs out once. What a lease is, and what it does, is `proxy.core.leasing`.

1. The terms of a lease are in the live state, so they outlive a restart; then the time begins anew. A renewal with the
   same terms only resets the time: no generation, no disk, no worker.
2. A renewal may come too late, while what follows is already being done. Whoever renews sees that at the next look.
3. What cannot be done when a lease has run out is tried again.

Units: CLOCK_MONOTONIC in seconds, but for what is kept with the live state.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from proxy.core.leasing import make_lease, run_out
from proxy.core.live import Lease, Live, Refused, RunOut

#: From one look to the next; leases are seconds or minutes long.
PERIOD: Final = 0.1
RETRY_PAUSE: Final = 1.0  # after a refusal

_log = logging.getLogger(__name__)


class Events(Protocol):
    """Where it is said that a lease has run out."""

    def publish(self, kind: str, **fields: Any) -> object:
        """Tell everybody who listens."""


class Supervisor(Protocol):
    """What this needs of the supervisor."""

    @property
    def live(self) -> Live:
        """The services and their leases."""

    @property
    def events(self) -> Events:
        """Everything that happens."""

    async def change(self, step: Callable[[Live], Live], *, if_match: int | None = None) -> Live:
        """Take a step on the live state; returns when every worker serves what came of it. Raises Refused."""


class Leases:
    """The leases of all services."""

    def __init__(
        self,
        supervisor: Supervisor,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._supervisor = supervisor
        self._monotonic = monotonic
        self._wall = wall
        self._heard: dict[str, tuple[Lease, float]] = {}
        self._not_before = 0.0
        #: How often a lease has run out, by service and what was done.
        self.ran_out: Final = Counter[tuple[str, str]]()

    def remaining(self, service: str) -> float | None:
        """Seconds until the lease of a service runs out; None when it has none, or one that has run out."""
        current = self._supervisor.live.services.get(service)
        lease = current.lease if current is not None else None
        if lease is None or lease.ran_out is not None:
            return None
        heard = self._heard.get(service)
        if heard is None or heard[0] != lease:
            return lease.seconds
        return max(0.0, heard[1] + lease.seconds - self._monotonic())

    async def renew(self, service: str, lease: Lease, *, if_match: int | None = None) -> Live:
        """Make a lease, or go on with it when its terms are the same; its time begins now. Raises Refused."""
        live = self._supervisor.live
        if make_lease(live, service, lease) is not live:
            live = await self._supervisor.change(lambda live: make_lease(live, service, lease), if_match=if_match)
        self._heard[service] = lease, self._monotonic()
        return live

    async def run(self) -> None:
        """Look after the time of all leases, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(PERIOD)

    async def look(self) -> None:
        """Begin the time of leases that are new here, and let run out what has had its time."""
        live, now = self._supervisor.live, self._monotonic()
        running = {
            name: service.lease
            for name, service in live.services.items()
            if service.lease and not service.lease.ran_out
        }
        heard = {name: self._heard.get(name) for name in running}
        self._heard = {
            name: known if known is not None and known[0] == running[name] else (running[name], now)
            for name, known in heard.items()
        }
        if now >= self._not_before:
            for name in running:
                if self._is_over(name):
                    await self._run_out(name)

    def _is_over(self, service: str) -> bool:
        lease, heard_at = self._heard[service]
        return self._monotonic() - heard_at >= lease.seconds

    async def _run_out(self, service: str) -> None:
        wall = self._wall()

        def step(live: Live) -> Live:
            if not self._is_over(service):
                raise Refused(409, f"the lease of {service} was renewed")
            return run_out(live, service, wall)

        try:
            live = await self._supervisor.change(step)
        except Refused as refused:
            # It was renewed or ended; or it cannot be done now; or it is in force, and a worker that is being replaced
            # has not confirmed it yet.
            live = self._supervisor.live
            if not (refused.status == 503 and _ran_out_at(live, service, wall)):
                self._not_before = self._monotonic() + RETRY_PAUSE
                _log.warning("the lease of %s: %s", service, refused)
                return
        lease = live.services[service].lease
        if lease is not None and lease.ran_out is not None:
            self._tell(service, lease, lease.ran_out)

    def _tell(self, service: str, lease: Lease, ran_out: RunOut) -> None:
        self.ran_out[service, ran_out.done] += 1
        _log.warning("%s: the lease has run out, %s: %s", service, ran_out.done, ran_out.reason)
        self._supervisor.events.publish(
            "lease", service=service, holder=lease.holder, done=ran_out.done, reason=ran_out.reason
        )


def _ran_out_at(live: Live, service: str, wall: float) -> bool:
    current = live.services.get(service)
    lease = current.lease if current is not None else None
    return lease is not None and lease.ran_out is not None and lease.ran_out.at_wall_seconds == wall
