"""Services: versions, their endpoints, and how traffic is split, balanced, checked and retried.

Owns the shape and the defaults of a service. Must not check names against each other (`config.references`).

Units: durations in seconds, sizes in bytes, shares from 0 to 1, weights relative to their sum.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from config.keys import KeySource, KeySourceText
from config.quantities import (
    Count,
    Duration,
    DurationOrOff,
    PositiveCount,
    Share,
    ShareOrOff,
    SizeOrOff,
    Statuses,
    StatusRange,
    Weight,
)
from config.texts import Endpoint, HeaderValue, RequestPath, TokenText, VersionName, is_version_name
from config.tls import UpstreamTls
from config.values import NotEmpty, OneOrMore, OrOff, Table, Value

_DEFAULT_STABLE: Final = "stable"


class ServiceTimeouts(Value):
    """The waits on behalf of one service; what is not said here is taken from the global `timeouts`."""

    connect: Duration = 2.0
    """To open a connection to an endpoint (504)."""
    response: DurationOrOff = 30.0
    """From the end of the request to the first byte of the response (504)."""
    idle: DurationOrOff = 60.0
    """Between two reads or writes of a body: at the endpoint (504); at the client the global one counts (408)."""
    total: DurationOrOff = 0.0
    """From the head of the request to the end of the response (504)."""
    upstream_keepalive: DurationOrOff = 50.0
    """How long an unused connection to an endpoint is kept; off: not at all. Keep it below the endpoints' own limit."""
    queue: DurationOrOff = 1.0
    """To wait for a free connection slot when all endpoints are at max_connections (503); off: do not wait."""
    tunnel: DurationOrOff = 3600.0
    """Without a byte in either direction on a WebSocket; it is then told to go (close code 1001)."""


class ServiceLimits(Value):
    """The limits of one service; what is not said here is taken from the global `limits`."""

    body: SizeOrOff = 0
    """The largest request body (413); 0: unlimited."""


class Version(Value):
    """One deployed revision of a service."""

    endpoints: tuple[Endpoint, ...] = ()
    """Where it runs: host:port, [v6]:port or unix:/path; a name stands for all its addresses."""
    max_connections: Count = 0
    """Connections to each endpoint; 0: unlimited. Each worker has an equal part, rounded up."""
    queue: Count = 64
    """Requests that may wait for each endpoint at max_connections; more are answered 503. Parted in the same way."""
    tls: UpstreamTls | None = None
    """Speak TLS to the endpoints; {} checks their certificates as browsers do. Without it plain HTTP."""


class StickyCookie(Value):
    """The cookie which carries the key of users that have no other (`own-cookie`)."""

    name: TokenText = "serinus_uid"
    """The name of the cookie."""
    max_age: DurationOrOff = 30.0 * 86400
    """How long browsers keep it; off: until they close."""
    secure: Literal["auto", True, False] = "auto"
    """Whether it is sent over TLS only: true where TLS is terminated in front; auto: when the request came over TLS."""
    same_site: Literal["Strict", "Lax", "None"] = "Lax"
    """The SameSite attribute."""

    @model_validator(mode="after")
    def _browsers_keep_it(self) -> Self:
        if self.same_site == "None" and self.secure is False:
            raise ValueError("browsers drop a cookie with same_site: None unless it is secure")
        return self


class Sticky(Value):
    """Keeps a user on one version: the first key source that a request has decides."""

    key: OneOrMore[KeySourceText]
    """Where the key comes from, best first: header:NAME, cookie:NAME, own-cookie (a signed cookie of ours), ip."""
    cookie: StickyCookie = StickyCookie()
    """The cookie of `own-cookie`."""

    @model_validator(mode="after")
    def _distinct_keys(self) -> Self:
        if not self.key or len(set(self.key)) != len(self.key):
            raise ValueError("key needs at least one source, and none twice")
        return self


class Health(Value):
    """Active checks: a probe to each endpoint, again and again."""

    path: RequestPath | None = None
    """The path to request (GET)."""
    tcp: bool = False
    """true: an accepted connection is enough, nothing is requested."""
    interval: Duration = 2.0
    """From one probe to the next."""
    timeout: Duration = 1.0
    """For one probe as a whole."""
    rise: PositiveCount = 2
    """Good probes in a row until an endpoint is up."""
    fall: PositiveCount = 3
    """Bad probes in a row until an endpoint is down."""
    jitter: Share = 0.1
    """How much the interval varies, so that probes spread."""
    host: HeaderValue | None = None
    """The Host header of the probe; without it, the endpoint's address."""
    expect: OneOrMore[Statuses] = (StatusRange(200, 399),)
    """The statuses that are good: 200, 200-399, or a list of these."""
    optimistic: bool = True
    """Whether the endpoints in the file count as up at start, before their first probe."""

    @model_validator(mode="after")
    def _one_probe(self) -> Self:
        if (self.path is not None) == self.tcp:
            raise ValueError("needs either path: /healthz or tcp: true")
        return self


class Ejection(Value):
    """Passive checks: an endpoint that fails real requests gets none for a while."""

    consecutive: Count = 5
    """Failures in a row (connect error, reset, timeout, 5xx) that eject; 0: off."""
    error_share: ShareOrOff = 0.0
    """The share of failures within 10 s that ejects; off: any share is fine."""
    min_requests: PositiveCount = 20
    """Requests within these 10 s below which the share says nothing."""
    base_time: Duration = 30.0
    """How long the first ejection lasts; the n-th lasts n times as long."""
    max_time: Duration = 300.0
    """The longest ejection."""
    max_share: Share = 0.5
    """The largest share of a version's endpoints that may be ejected; a version's only endpoint never is."""
    panic: Share = 0.5
    """When some, but less than this share, of a version's endpoints are usable, all of them are used; 0: never."""


class Retries(Value):
    """Trying a failed request again on another endpoint, only where that is safe."""

    attempts: Annotated[int, Field(ge=0, le=10)] = 1
    """How often one request may be tried again; 0: off."""
    budget: Share = 0.2
    """The largest share of retries among a service's recent requests."""
    budget_min: Count = 3
    """Retries a second, per worker, that the budget always allows."""
    on: OneOrMore[Literal["connect_error", "reset", "timeout", "5xx"]] = ("connect_error", "reset")
    """The outcomes after which a request is tried again."""


class Breaker(Value):
    """Takes a failing version to weight 0 within a second, while the stable version is well."""

    window: PositiveCount = 20
    """The last requests of the version that are looked at."""
    fails: PositiveCount = 5
    """Failures among them that open the breaker."""

    @model_validator(mode="after")
    def _can_open(self) -> Self:
        if self.fails > self.window:
            raise ValueError(f"can never open: {self.fails} failures do not fit into a window of {self.window}")
        return self


class Drain(Value):
    """How an endpoint is emptied."""

    timeout: DurationOrOff = 30.0
    """How long requests, WebSockets and event streams may go on; off: they are ended at once."""
    jitter: DurationOrOff = 5.0
    """The ends of long-lived connections are spread over this time, so that clients do not come back all at once.

    WebSockets are told to go (close code 1001), and have two seconds to do it.
    """


class Pool(Value):
    """The connections to endpoints that are kept open for later requests."""

    idle: Count = 64
    """Unused connections kept per endpoint and worker; 0: none."""
    fresh_after: DurationOrOff = 2.0
    """A request that must not be sent twice (POST) gets a new connection when the kept one was unused for so long.

    The endpoint may be about to close that one. off: it is used all the same.
    """


class Service(Value):
    """What a client asks for: versions and the split between them."""

    versions: NotEmpty[Table[VersionName, Version]]
    """The deployed revisions, by name."""
    split: Table[VersionName, Weight] | None = None
    """The weight of each version; share = weight / sum. A version that is not named has weight 0."""
    active: VersionName | None = None
    """The one version that has everything, instead of `split`."""
    stable: VersionName = ""
    """The reference version. Default: the one named stable, else the heaviest (the first of equals)."""
    fallback: OrOff[VersionName] = None
    """The version that gets the share of one without a usable endpoint; none: 503. Default: the stable version."""
    fallback_on_error: bool = False
    """Whether a failed request that may be retried can go to the fallback version."""
    sticky: OrOff[Sticky] = None
    """Keeps each user on one version; without it every request is drawn anew."""
    balance: Literal["least-request", "round-robin", "hash"] = "least-request"
    """How an endpoint of the version is chosen: the less busy of two random ones, in turn, or by hash of a key."""
    hash_key: OneOrMore[KeySourceText] = ()
    """The key of `balance: hash`. Default: the sticky key, else ip."""
    expose_version: bool = False
    """Whether responses carry X-Serinus-Version."""
    forward_own_cookies: bool = False
    """Whether endpoints get the cookies named serinus_*, too. They are the proxy's own."""
    health: OrOff[Health] = None
    """Active health checks."""
    ejection: OrOff[Ejection] = Ejection()
    """Passive health checks."""
    slow_start: DurationOrOff = 0.0
    """How long an endpoint that came up gets less than its part."""
    retries: Retries = Retries()
    """Retries on another endpoint."""
    breaker: OrOff[Breaker] = None
    """Takes a failing version out without any controller. The new version of a rollout has the rollout's breaker."""
    drain: Drain = Drain()
    """How endpoints are emptied."""
    limits: ServiceLimits = ServiceLimits()
    """Limits of this service."""
    timeouts: ServiceTimeouts = ServiceTimeouts()
    """Timeouts of this service."""
    pool: Pool = Pool()
    """Connections kept open."""
    upgrade: OneOrMore[Literal["websocket"]] = ("websocket",)
    """Protocols that clients may switch to; an empty list: none."""
    resolve_interval: Duration = 30.0
    """How often host names of endpoints are looked up again."""

    @model_validator(mode="before")
    @classmethod
    def _with_reference_versions(cls, value: object) -> object:
        """Fill in `stable` and `fallback`; what cannot be understood is left for the checks of the fields."""
        if not isinstance(value, dict):
            return value
        stable = value.get("stable") or _default_stable(value)
        return {"stable": stable, "fallback": stable, **value} if is_version_name(stable) else value

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of every version, 0 for those that `split` does not name."""
        if self.split is not None:
            return Table({name: self.split.get(name, 0.0) for name in self.versions})
        active = self.active or next(iter(self.versions), None)
        return Table({name: 1.0 if name == active else 0.0 for name in self.versions})

    @property
    def balance_key(self) -> tuple[KeySource, ...]:
        """The key sources of `balance: hash`."""
        return self.hash_key or (self.sticky.key if self.sticky else (KeySource("ip"),))


def _default_stable(service: Mapping[str, Any]) -> str | None:
    """Return the version named stable, else the heaviest, else the active, else the first one."""
    versions, split = service.get("versions"), service.get("split")
    names = [*versions] if isinstance(versions, Mapping) else []
    if _DEFAULT_STABLE in names:
        return _DEFAULT_STABLE
    if isinstance(split, Mapping) and split:
        weights = {name: weight for name, weight in split.items() if isinstance(weight, int | float)}
        return max(weights, key=weights.__getitem__, default=None)
    active = service.get("active")
    return active if isinstance(active, str) else next(iter(names), None)
