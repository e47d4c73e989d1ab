"""The immutable values that a worker serves from: a `Snapshot` of services and routes, and the `Settings` of clients.

Owns the shapes that travel from the supervisor to the workers (pickled, over a socket pair), nothing else. Must not
import the configuration models: a worker starts without pydantic.

Rules:
1. Every value here is frozen; a change makes a new value with the next generation.
2. A slot is an index into the shared-memory counters. It belongs to one (service, version) or one (service, version,
   endpoint) for as long as that exists, whatever else changes. Slot 0 is "no service" (requests that matched no route).
3. Times are seconds, sizes are bytes, shares are ratios from 0 to 1; zero means "off" or "no limit" for every timeout
   and every limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: ("inet", "127.0.0.1", 9001), ("inet6", "::1", 9001) or ("unix", "/run/app.sock", 0).
SocketAddress = tuple[Literal["inet", "inet6", "unix"], str, int]

EndpointState = Literal["up", "drain", "down"]
Balance = Literal["least-request", "round-robin", "hash"]
KeyKind = Literal["header", "cookie", "own-cookie", "ip"]
PathKind = Literal["any", "exact", "prefix", "regex"]
ClientField = Literal["certificate", "subject", "fingerprint"]
ValueKind = Literal["exact", "regex", "present", "absent"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that serves a version. Usable when `state` is up, `healthy` is true and `sockets` is not empty."""

    address: str  # as configured: the name people and metrics use
    slot: int
    sockets: tuple[SocketAddress, ...]
    state: EndpointState = "up"
    healthy: bool = True
    warm_from: float = 0.0  # CLOCK_MONOTONIC seconds at which slow start began; 0: warm

    @property
    def is_usable(self) -> bool:
        """Whether it can take requests, ejection by a worker aside."""
        return self.state == "up" and self.healthy and bool(self.sockets)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain and its private key, both PEM; the key is never shown."""

    chain: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...] = ()  # lower case: "shop.example.com", "*.example.com"
    not_after: float = 0.0  # seconds since 1970


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS to clients of one listener. The first certificate serves every name that no other one has."""

    certificates: tuple[Certificate, ...]
    client_ca: bytes = b""  # PEM; empty: clients are not asked for a certificate
    client_required: bool = True
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str = ""  # of TLS 1.2, as OpenSSL writes them; empty: modern ones
    strict_sni: bool = False  # refuse names that no certificate has
    client_headers: tuple[
        tuple[ClientField, str], ...
    ] = ()  # what endpoints are told of a client's certificate, and where


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS to the endpoints of one version."""

    verify: bool = True
    ca: bytes = b""  # PEM; empty: what the system trusts
    server_name: str = ""  # empty: the host of the endpoint
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One revision of a service. Limits are per endpoint, for one worker."""

    name: str
    slot: int
    endpoints: tuple[Endpoint, ...] = ()
    max_connections: int = 0
    queue: int = 64  # exchanges that wait
    tls: ClientTls | None = None  # None: plain


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where a sticky key comes from; `name` is the lower-case header name or the cookie name, empty for the others."""

    kind: KeyKind
    name: str = ""


@dataclass(frozen=True, slots=True)
class Sticky:
    """How a client's key is found, and the cookie that carries one of ours."""

    keys: tuple[KeySource, ...]
    cookie: str = "serinus_uid"
    cookie_max_age: int = 30 * 86400
    cookie_attributes: str = "; Path=/; HttpOnly; SameSite=Lax"
    secure_over_tls: bool = False  # add Secure for clients that speak TLS with us


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each wait of an exchange may take."""

    connect: float = 2.0
    response: float = 30.0  # from the last byte of the request to the first of the response
    idle: float = 60.0  # between two reads or writes of a body
    total: float = 0.0  # the whole exchange
    queue: float = 1.0  # waiting for a free connection of a limited endpoint
    tunnel: float = 3600.0  # idle time of an upgraded connection
    keepalive: float = 50.0  # idle upstream connections


@dataclass(frozen=True, slots=True)
class Retries:
    """`attempts` are further tries after the first; `budget` is their greatest share of recent requests."""

    attempts: int = 1
    budget: float = 0.2
    budget_min: float = 3.0  # retries a second that are always allowed
    on: frozenset[str] = frozenset({"connect_error", "reset"})  # of proxy.core.outcome.Outcome names
    buffer: int = 64 * 1024  # the largest request body that is kept for a retry


@dataclass(frozen=True, slots=True)
class Ejection:
    """Passive ejection of an endpoint by what its answers show, decided by each worker for itself."""

    consecutive: int = 5  # failures in a row; 0: off
    error_share: float = 0.0  # of at least min_requests in 10 s; 0: off
    min_requests: int = 20
    base_time: float = 30.0  # times the number of ejections so far
    max_time: float = 300.0
    max_share: float = 0.5  # of a version's endpoints
    panic: float = 0.5  # below this usable share, health is ignored


@dataclass(frozen=True, slots=True)
class Service:
    """A service with everything that decides how its requests are served."""

    name: str
    versions: tuple[Version, ...]
    weights: tuple[float, ...]  # beside versions; not all zero
    stable: int  # index of the reference version
    fallback: int = -1  # index of the version that takes the share of one without a usable endpoint; -1: none
    fallback_on_error: bool = False
    sticky: Sticky | None = None
    salt: bytes = b"\0" * 16
    balance: Balance = "least-request"
    balance_key: tuple[KeySource, ...] = ()
    expose_version: bool = False
    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    ejection: Ejection | None = field(default_factory=Ejection)
    slow_start: float = 0.0
    pool_idle: int = 64  # idle connections kept per endpoint and worker
    fresh_after: float = 2.0  # so long idle, a connection gets no request that must not be sent twice; 0: it does
    own_cookies: bool = False  # endpoints get the cookies named serinus_* too
    body_limit: int = 0
    upgrades: frozenset[str] = frozenset({"websocket"})
    drain_timeout: float = 30.0  # of tunnels and streams on a draining endpoint
    drain_jitter: float = 5.0


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A condition on a header (lower-case name), a cookie or a query parameter."""

    name: str
    kind: ValueKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """All conditions must hold; which of several matching routes wins is said in proxy/core/routing.pyx."""

    service: str
    version: str = ""  # forced version; empty: the split decides
    host: str = ""  # lower case; "shop.example.com", "*.example.com"; empty: any
    path_kind: PathKind = "any"
    path: str = ""
    methods: frozenset[str] = frozenset()
    headers: tuple[ValueMatch, ...] = ()
    cookies: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    refuses_hidden_slashes: bool = False  # %2F, %5C and a bare backslash in the path


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is served; services and routes refer to each other by name."""

    generation: int
    services: tuple[Service, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Where lines go, and which fields of the JSON form."""

    format: Literal["off", "json", "combined"] = "off"
    path: str = ""  # empty: standard output
    fields: tuple[str, ...] = ()  # of proxy.core.logformat.FIELDS; empty: all


@dataclass(frozen=True, slots=True)
class Settings:
    """What concerns clients rather than a service; the same for every listener of a worker."""

    request_line: int = 8 * 1024
    head: int = 32 * 1024
    headers: int = 100
    trailers: int = 8 * 1024
    response_head: int = 64 * 1024
    connections: int = 10_000  # per worker
    connections_per_client: int = 0  # per worker
    head_timeout: float = 10.0
    keepalive_timeout: float = 75.0
    body_timeout: float = 60.0  # between two reads of a request body
    write_timeout: float = 60.0  # between two times that a client takes something
    client_rate: int = 240  # bytes a second, over each body_timeout and write_timeout; 0: any
    drain_timeout: float = 30.0
    trusted_proxies: tuple[str, ...] = ()  # CIDR notation
    internal_headers: tuple[str, ...] = ()  # that count from trusted proxies only
    via: str = ""  # our name in Via; empty: none is added
    via_on_responses: bool = False
    cookie_secret: bytes = b"\0" * 16
    access_log: AccessLog = field(default_factory=AccessLog)
    tls: tuple[ServerTls | None, ...] = ()  # beside the listeners; None: plain
    ticket_keys: bytes = field(default=b"", repr=False)  # 80 random bytes: sessions are resumed by any worker
