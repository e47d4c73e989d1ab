"""Host names of endpoints: looks them up again and again, and tells the supervisor where they lead.

Owns the lookups and their results. Must not connect to anything. IP addresses and unix sockets need none of it.

1. A name and a port are looked up once, whoever uses them, at the shortest `resolve_interval` among those services.
2. A failure or an empty answer changes nothing: the last good addresses stay. It is told once, as is its end, and tried
   again soon.
3. The same addresses in another order are no news: resolvers rotate them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from typing import Any, Final, Protocol

from config.address import TcpAddress, parse_endpoint_address
from proxy.chores import Chores
from proxy.core.live import Live
from proxy.core.serving import EndpointHealth, inet_socket
from proxy.core.snapshot import SocketAddress

EndpointName = tuple[str, str, str]
Lookup = Callable[[str, int], Awaitable[tuple[SocketAddress, ...]]]

#: How soon a change of the live state is noticed.
PERIOD: Final = 0.1
#: The resolver of the system has timeouts of its own (resolv.conf(5): 5 s, 2 attempts); this one is for one without.
LOOKUP_TIMEOUT: Final = 15.0
FIRST_RETRY: Final = 1.0  # then twice as long each time, up to the interval

_log = logging.getLogger(__name__)
# All of them are looked at after every change of the live state.
_parsed = lru_cache(maxsize=32768)(parse_endpoint_address)


class Events(Protocol):
    """Where it is said that a name cannot be looked up."""

    def publish(self, kind: str, **fields: Any) -> object:
        """Tell everybody who listens."""


class Supervisor(Protocol):
    """What this needs of the supervisor."""

    @property
    def live(self) -> Live:
        """The services and endpoints of now."""

    @property
    def events(self) -> Events:
        """Everything that happens."""

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        """What is known of an endpoint."""

    def set_health(self, service: str, version: str, address: str, healthy: bool, detail: str) -> None:
        """Take note of an endpoint's health."""

    def set_sockets(self, service: str, version: str, address: str, sockets: tuple[SocketAddress, ...]) -> None:
        """Take note of where an endpoint is."""


async def look_up(host: str, port: int) -> tuple[SocketAddress, ...]:
    """The addresses that the system's resolver gives, in its order. Raises OSError."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(inet_socket(TcpAddress(str(place[0]), port)) for *_, place in answers))


class Resolver:
    """Looks up every host name among the endpoints."""

    def __init__(self, supervisor: Supervisor, lookup: Lookup = look_up) -> None:
        self._supervisor = supervisor
        self._lookup = lookup
        self._chores: Chores[TcpAddress, float] = Chores(self._watch)
        self._users: dict[TcpAddress, list[EndpointName]] = {}
        self._found: dict[TcpAddress, tuple[SocketAddress, ...]] = {}
        self._failing: dict[TcpAddress, str] = {}

    async def run(self) -> None:
        """Look up until it is cancelled."""
        live: Live | None = None
        try:
            while True:
                if live is not self._supervisor.live:
                    live = self._supervisor.live
                    self._follow(live)
                await asyncio.sleep(PERIOD)
        finally:
            await self._chores.close()

    def _follow(self, live: Live) -> None:
        self._users = {}
        intervals: dict[TcpAddress, float] = {}
        for address, name in _names(live):
            self._users.setdefault(address, []).append(name)
            interval = live.config.services[name[0]].resolve_interval
            intervals[address] = min(interval, intervals.get(address, interval))
        self._found = {address: found for address, found in self._found.items() if address in intervals}
        self._failing = {address: failure for address, failure in self._failing.items() if address in intervals}
        for address in self._found:
            self._tell_users(address)
        self._chores.follow(intervals)

    async def _watch(self, address: TcpAddress, interval: float) -> None:
        """Look up one name for as long as it is used."""
        pause = FIRST_RETRY
        while True:
            try:
                async with asyncio.timeout(LOOKUP_TIMEOUT):
                    found = await self._lookup(address.host, address.port)
            except (OSError, UnicodeError) as exc:
                failure = _reason(exc)
            else:
                failure = "" if found else "the answer is empty"
            if failure:
                self._note_failure(address, failure)
                await asyncio.sleep(min(pause, interval))
                pause *= 2
            else:
                self._note_answer(address, found)
                pause = FIRST_RETRY
                await asyncio.sleep(interval)

    def _note_answer(self, address: TcpAddress, found: tuple[SocketAddress, ...]) -> None:
        if self._failing.pop(address, None) is not None:
            _log.warning("%s can be looked up again", address.host)
            self._supervisor.events.publish("resolved", name=address.host, addresses=[place[1] for place in found])
        if set(found) != set(self._found.get(address, ())):
            self._found[address] = found
        self._tell_users(address)

    def _note_failure(self, address: TcpAddress, failure: str) -> None:
        if address in self._failing:
            return
        detail = self._failing[address] = f"{address.host} cannot be looked up: {failure}"
        kept = [place[1] for place in self._found.get(address, ())]
        _log.warning("%s; %s", detail, f"keeping {', '.join(kept)}" if kept else "no address is known")
        self._supervisor.events.publish("resolve_failed", name=address.host, detail=detail, addresses=kept)
        self._tell_users(address)

    def _tell_users(self, address: TcpAddress) -> None:
        found = self._found.get(address)
        for name in self._users.get(address, ()):
            if found is not None:
                self._supervisor.set_sockets(*name, found)
            self._tell_detail(name, self._failing.get(address, ""))

    def _tell_detail(self, name: EndpointName, detail: str) -> None:
        """Say why an endpoint has no address, or an old one; where it is probed, the prober's words go before ours."""
        known = self._supervisor.health_of(*name)
        is_probed = self._supervisor.live.config.services[name[0]].health is not None and known.sockets
        if not is_probed and known.detail != detail:
            self._supervisor.set_health(*name, known.healthy, detail)


def _names(live: Live) -> Iterator[tuple[TcpAddress, EndpointName]]:
    """The endpoints whose address has a host name."""
    for name, service in live.services.items():
        for version, endpoints in service.versions.items():
            for endpoint in endpoints:
                address = _parsed(endpoint.address)
                if isinstance(address, TcpAddress) and address.is_name:
                    yield address, (name, version, endpoint.address)


def _reason(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return f"no answer within {LOOKUP_TIMEOUT:g}s"
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
