"""What workers get: the live state, its slots and what is known of its endpoints as one `Snapshot`, and the `Settings`.

Owns the translation from the vocabulary of the file to that of `proxy.core.snapshot`. Must not decide anything: what is
healthy, which slot and which socket come from outside.

Rules:
1. The translation is total: every service of the live state is served, with all its versions, in the order of the file.
2. Each worker counts connections for itself: its part of a limit is the whole by the number of workers, rounded up.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from config import model
from config.address import TcpAddress, UnixAddress, parse_endpoint_address
from proxy.core.live import Live, LiveEndpoint
from proxy.core.slots import Slots
from proxy.core.snapshot import (
    AccessLog,
    ClientTls,
    Ejection,
    Endpoint,
    KeySource,
    PathKind,
    Retries,
    Route,
    ServerTls,
    Service,
    Settings,
    Snapshot,
    SocketAddress,
    Sticky,
    Timeouts,
    ValueMatch,
    Version,
)


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """What is known of an endpoint: whether it is well, why, since when (CLOCK_MONOTONIC), and where its name leads."""

    healthy: bool
    detail: str = ""
    since: float = 0.0
    sockets: tuple[SocketAddress, ...] = ()
    warm_from: float = 0.0


HealthOf = Callable[[str, str, str], EndpointHealth]
TlsOf = Callable[[str, str], ClientTls | None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a snapshot needs beside the live state."""

    slots: Slots
    health: HealthOf
    workers: int
    tls: TlsOf = lambda service, version: None

    def part(self, whole: int) -> int:
        """One worker's part of a limit; 0 stays 0."""
        return -(-whole // self.workers)


def literal_sockets(address: str) -> tuple[SocketAddress, ...]:
    """Where an endpoint is, when its address says so without a resolver; empty for a host name."""
    parsed = parse_endpoint_address(address)
    if isinstance(parsed, UnixAddress):
        return (("unix", parsed.path, 0),)
    return () if parsed.is_name else (inet_socket(parsed),)


def inet_socket(address: TcpAddress) -> SocketAddress:
    """The socket address of an IP address and a port."""
    return ("inet6" if ":" in address.host else "inet", address.host, address.port)


@dataclass(frozen=True, slots=True)
class Kept:
    """What of an earlier snapshot still holds, so that a small change of a large state is a small work."""

    services: Mapping[str, Service]
    routes: tuple[Route, ...] | None


NOTHING_KEPT: Final = Kept(MappingProxyType({}), None)


def snapshot(live: Live, around: Surroundings, kept: Kept = NOTHING_KEPT) -> Snapshot:
    """Everything that workers serve. Raises OutOfSlots."""
    return Snapshot(
        generation=live.generation,
        services=tuple(kept.services.get(name) or service(live, name, around) for name in live.services),
        routes=tuple(route for configured in live.config.routes for route in _routes(configured))
        if kept.routes is None
        else kept.routes,
    )


def service(live: Live, name: str, around: Surroundings) -> Service:
    """One service as workers serve it. Raises OutOfSlots."""
    configured, current = live.config.services[name], live.services[name]
    names = list(current.versions)
    return Service(
        name=name,
        versions=tuple(_version(live, name, version, around) for version in names),
        weights=tuple(current.weights[version] for version in names),
        stable=names.index(configured.stable),
        fallback=names.index(configured.fallback) if configured.fallback is not None else -1,
        fallback_on_error=configured.fallback_on_error,
        sticky=_sticky(configured.sticky),
        salt=current.salt,
        balance=configured.balance,
        balance_key=_keys(configured.balance_key) if configured.balance == "hash" else (),
        expose_version=configured.expose_version,
        timeouts=_timeouts(configured.timeouts),
        retries=Retries(
            attempts=configured.retries.attempts,
            budget=configured.retries.budget,
            budget_min=configured.retries.budget_min,
            on=frozenset(configured.retries.on),
        ),
        ejection=_ejection(configured.ejection),
        slow_start=configured.slow_start,
        pool_idle=configured.pool.idle if configured.timeouts.upstream_keepalive else 0,
        fresh_after=configured.pool.fresh_after,
        own_cookies=configured.forward_own_cookies,
        body_limit=configured.limits.body,
        upgrades=frozenset(configured.upgrade),
        drain_timeout=configured.drain.timeout,
        drain_jitter=configured.drain.jitter,
    )


def _cookie_key(secret: bytes) -> bytes:
    """The 16 bytes that sign cookies, from a secret of any length, which may be used for other things as well."""
    return hashlib.sha256(b"serinus own-cookie " + secret).digest()[:16]


def settings(
    config: model.Config, cookie_secret: bytes, tls: tuple[ServerTls | None, ...] = (), ticket_keys: bytes = b""
) -> Settings:
    """What concerns clients, the same for every worker. `cookie_secret`: where none is shared."""
    limits, timeouts = config.limits, config.timeouts
    return Settings(
        request_line=limits.request_line,
        head=limits.head,
        headers=limits.headers,
        trailers=limits.trailers,
        response_head=limits.response_head,
        connections=limits.connections,
        connections_per_client=limits.connections_per_client,
        head_timeout=timeouts.head,
        keepalive_timeout=timeouts.keepalive,
        body_timeout=timeouts.idle,
        write_timeout=timeouts.idle,
        client_rate=limits.client_rate,
        drain_timeout=config.drain_timeout,
        trusted_proxies=tuple(str(network) for network in config.trusted_proxies),
        internal_headers=config.internal_headers,
        via=config.via.name if config.via is not None else "",
        via_on_responses=config.via is not None and config.via.responses,
        cookie_secret=_cookie_key(config.cookie_secret_file.secret) if config.cookie_secret_file else cookie_secret,
        access_log=_access_log(config.access_log),
        tls=tls,
        ticket_keys=ticket_keys,
    )


def _version(live: Live, name: str, version: str, around: Surroundings) -> Version:
    configured = live.config.services[name]
    limits = configured.versions[version]
    return Version(
        name=version,
        slot=around.slots.version(name, version),
        endpoints=tuple(
            _endpoint(endpoint, around.slots.endpoint(*place), around.health(*place))
            for endpoint in live.services[name].versions[version]
            for place in ((name, version, endpoint.address),)
        ),
        max_connections=around.part(limits.max_connections),
        queue=around.part(limits.queue) if configured.timeouts.queue else 0,
        tls=around.tls(name, version),
    )


def _endpoint(live: LiveEndpoint, slot: int, known: EndpointHealth) -> Endpoint:
    return Endpoint(live.address, slot, known.sockets, live.state, known.healthy, known.warm_from)


def _routes(route: model.Route) -> Iterator[Route]:
    """One route for each of its hosts, in the place of the route."""
    match = route.match
    path_kind, path = _path(match)
    for host in match.host or ("",):
        yield Route(
            service=route.service,
            version=route.version or "",
            host=host,
            path_kind=path_kind,
            path=path,
            methods=frozenset(match.method),
            headers=tuple(_condition(name.lower(), text) for name, text in match.headers.items()),
            cookies=tuple(_condition(name, text) for name, text in match.cookies.items()),
            query=tuple(_condition(name, text) for name, text in match.query.items()),
            refuses_hidden_slashes=route.refuse_encoded_slashes,
        )


def _path(match: model.Match) -> tuple[PathKind, str]:
    if match.path is not None:
        return "exact", match.path
    if match.path_prefix is not None:
        return "prefix", match.path_prefix
    if match.path_regex is not None:
        return "regex", match.path_regex
    return "any", ""


def _condition(name: str, text: model.TextMatch) -> ValueMatch:
    if text.exact is not None:
        return ValueMatch(name, "exact", text.exact)
    if text.regex is not None:
        return ValueMatch(name, "regex", text.regex)
    return ValueMatch(name, "present" if text.present else "absent")


def _keys(keys: tuple[model.KeySource, ...]) -> tuple[KeySource, ...]:
    return tuple(KeySource(key.kind, key.name.lower() if key.kind == "header" else key.name) for key in keys)


def _sticky(sticky: model.Sticky | None) -> Sticky | None:
    if sticky is None:
        return None
    cookie = sticky.cookie
    # RFC 6265bis: browsers drop SameSite=None without Secure.
    secure = "; Secure" if cookie.secure is True or cookie.same_site == "None" else ""
    return Sticky(
        keys=_keys(sticky.key),
        cookie=cookie.name,
        cookie_max_age=math.ceil(cookie.max_age),
        cookie_attributes=f"; Path=/; HttpOnly; SameSite={cookie.same_site}{secure}",
        secure_over_tls=cookie.secure == "auto" and not secure,
    )


def _timeouts(timeouts: model.ServiceTimeouts) -> Timeouts:
    return Timeouts(
        connect=timeouts.connect,
        response=timeouts.response,
        idle=timeouts.idle,
        total=timeouts.total,
        queue=timeouts.queue,
        tunnel=timeouts.tunnel,
        keepalive=timeouts.upstream_keepalive,
    )


def _ejection(ejection: model.Ejection | None) -> Ejection | None:
    if ejection is None:
        return None
    return Ejection(
        consecutive=ejection.consecutive,
        error_share=ejection.error_share,
        min_requests=ejection.min_requests,
        base_time=ejection.base_time,
        max_time=ejection.max_time,
        max_share=ejection.max_share,
        panic=ejection.panic,
    )


def _access_log(log: model.AccessLog | None) -> AccessLog:
    if log is None:
        return AccessLog()
    path = "" if log.output == "stdout" else str(log.output)
    return AccessLog(log.format, path, tuple(log.kept_fields) if log.format == "json" else ())
