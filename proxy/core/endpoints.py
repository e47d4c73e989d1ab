"""What is known of every endpoint: whether it is well, where its name leads, and since when it warms up.

Owns the table and what a change of the live state means for it. Must not probe, resolve, or tell workers.

Rules:
1. Without health checks an endpoint is well. With them, it is not until a probe says so; at start, what the service
   calls optimistic is.
2. An endpoint that begins to be used again (came up, was added, was set to up) warms up from then, where the service
   has a slow start. At start, everything is warm.
3. What is not in the live state is not known: `of` gives an unhealthy endpoint for it, and news of it changes nothing.

Units: `now` is seconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from config.model import Service
from proxy.core.live import Live, LiveEndpoint
from proxy.core.serving import EndpointHealth, literal_sockets
from proxy.core.slots import EndpointName
from proxy.core.snapshot import EndpointState, SocketAddress

_UNKNOWN: Final = EndpointHealth(False, "not known")


@dataclass(frozen=True, slots=True)
class _Known:
    health: EndpointHealth
    state: EndpointState
    slow_start: float


class EndpointTable:
    """The endpoints of the live state, as `follow` saw it last."""

    def __init__(self) -> None:
        self._known: dict[EndpointName, _Known] = {}

    def of(self, service: str, version: str, address: str) -> EndpointHealth:
        """What is known of one endpoint."""
        known = self._known.get((service, version, address))
        return known.health if known is not None else _UNKNOWN

    def follow(self, live: Live, now: float, *, at_start: bool = False, only: Collection[str] | None = None) -> None:
        """Take up the endpoints of a live state, keep what is known of those that stay, forget the others.

        `only` names the services that may differ from the state that was followed before; None: all.
        """
        services = live.services if only is None else only
        others = {} if only is None else {name: known for name, known in self._known.items() if name[0] not in only}
        followed = {
            name: self._followed(self._known.get(name), configured, endpoint, now, at_start=at_start)
            for name, configured, endpoint in _endpoints(live, services)
        }
        self._known = others | followed

    def recall(self, known: Mapping[EndpointName, EndpointHealth]) -> None:
        """Take up what the proxy before knew of them: who was well is, and goes on warming up."""
        for name, health in known.items():
            mine = self._known.get(name)
            if mine is not None:
                # Where a literal address leads, this version knows itself.
                sockets = mine.health.sockets or health.sockets
                self._known[name] = replace(mine, health=replace(health, sockets=sockets))

    def every(self) -> dict[EndpointName, EndpointHealth]:
        """What is known of each."""
        return {name: known.health for name, known in self._known.items()}

    def set_health(self, name: EndpointName, now: float, *, healthy: bool, detail: str) -> bool:
        """Note what a check has found. True when the endpoint came up or went down by it."""
        known = self._known.get(name)
        if known is None:
            return False
        old = known.health
        if old.healthy == healthy:
            self._known[name] = replace(known, health=replace(old, detail=detail))
            return False
        warm_from = now if healthy and known.slow_start else 0.0
        new = replace(old, healthy=healthy, detail=detail, since=now, warm_from=warm_from)
        self._known[name] = replace(known, health=new)
        return True

    def set_sockets(self, name: EndpointName, sockets: tuple[SocketAddress, ...]) -> bool:
        """Note where a name leads now. True when that is news."""
        known = self._known.get(name)
        if known is None or known.health.sockets == sockets:
            return False
        self._known[name] = replace(known, health=replace(known.health, sockets=sockets))
        return True

    @staticmethod
    def _followed(
        known: _Known | None, configured: Service, endpoint: LiveEndpoint, now: float, *, at_start: bool
    ) -> _Known:
        if known is None:
            health = _first(configured, endpoint.address, now, at_start=at_start)
        elif not known.health.healthy and configured.health is None:
            health = replace(known.health, healthy=True, detail="", since=now)
        else:
            health = known.health
        begins = not at_start and endpoint.state == "up" and (known is None or known.state != "up")
        if begins and health.healthy and configured.slow_start:
            health = replace(health, warm_from=now)
        return _Known(health, endpoint.state, configured.slow_start)


def _first(configured: Service, address: str, now: float, *, at_start: bool) -> EndpointHealth:
    checks = configured.health
    healthy = checks is None or (at_start and checks.optimistic)
    detail = "" if checks is None else "not checked yet"
    return EndpointHealth(healthy, detail, now, literal_sockets(address))


def _endpoints(live: Live, services: Iterable[str]) -> Iterator[tuple[EndpointName, Service, LiveEndpoint]]:
    for name in services:
        for version, endpoints in live.services[name].versions.items():
            for endpoint in endpoints:
                yield (name, version, endpoint.address), live.config.services[name], endpoint
