"""The configuration as one immutable value: `Config` and the parts that belong to the whole proxy.

Owns the shape and the defaults of the file. Services, routes and rollouts have modules of their own and are exported
from here.
Must not read a file or check names against each other: that is `config.load`.

Units: durations in seconds, sizes in bytes.
"""

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from config.address import EndpointAddress, InheritedSocket, ListenAddress, TcpAddress, UnixAddress
from config.admin import Admin, NamedToken
from config.controller import Controller, FreezeWindow, LedProxy, Notification
from config.files import FilePath, LogOutput, SharedSecret
from config.forwarding import ClientHeaders, OwnHeader, Via
from config.keys import KeySource
from config.quantities import Count, Duration, DurationOrOff, HeadSize, PositiveCount, SizeOrOff, StatusRange
from config.rollout import (
    BlueGreenRollout,
    CanaryRollout,
    RollingRollout,
    Rollout,
)
from config.route import Match, Route, TextMatch
from config.service import (
    Breaker,
    Drain,
    Ejection,
    Health,
    Pool,
    Retries,
    Service,
    ServiceLimits,
    ServiceTimeouts,
    Sticky,
    StickyCookie,
    Version,
)
from config.texts import ListenOn, Name, Network, matching, text_schema
from config.tls import Certificate, Tls, UpstreamTls
from config.units import shorten
from config.values import NotEmpty, OneOrMore, OrOff, Table, TextToo, Value

__all__ = [
    "LOG_FIELDS",
    "AccessLog",
    "Admin",
    "BlueGreenRollout",
    "Breaker",
    "CanaryRollout",
    "Certificate",
    "ClientHeaders",
    "Config",
    "Controller",
    "Drain",
    "Ejection",
    "EndpointAddress",
    "FreezeWindow",
    "Health",
    "InheritedSocket",
    "KeySource",
    "LedProxy",
    "Limits",
    "ListenAddress",
    "Listener",
    "Match",
    "Metrics",
    "NamedToken",
    "Notification",
    "Pool",
    "Retries",
    "RollingRollout",
    "Rollout",
    "Route",
    "Service",
    "ServiceLimits",
    "ServiceTimeouts",
    "StatusRange",
    "Sticky",
    "StickyCookie",
    "Table",
    "TcpAddress",
    "TextMatch",
    "Timeouts",
    "Tls",
    "UnixAddress",
    "UpstreamTls",
    "Value",
    "Version",
    "Via",
]

LogField = Literal[
    "ts",
    "request_id",
    "trace_id",
    "client_ip",
    "method",
    "host",
    "path",
    "query",
    "proto",
    "status",
    "service",
    "version",
    "reason",
    "upstream",
    "duration_ms",
    "upstream_ms",
    "bytes_in",
    "bytes_out",
    "retries",
    "error",
    "tls",
    "user_agent",
    "referer",
]
LOG_FIELDS: Final[tuple[LogField, ...]] = get_args(LogField)

# Fine where services answer, coarse where clients give up.
#: OpenTelemetry's advice for http.server.request.duration, and two below it for upstreams on the same host.
DEFAULT_BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
MAX_WORKERS: Final = 256
MAX_HEADERS: Final = 256


def _workers(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_WORKERS:
        raise ValueError(f"must be auto or a number from 1 to {MAX_WORKERS}, not {shorten(value)}")
    return value


_HTTPS_PLACE: Final = re.compile(r"https(?::[1-9][0-9]{0,4})?")
HttpsPlace = Annotated[
    str,
    PlainValidator(matching(_HTTPS_PLACE, "https or https:PORT")),
    text_schema(f"^{_HTTPS_PLACE.pattern}$", "https, or https:PORT"),
]
Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(_workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MAX_WORKERS}]}),
]


_ACCOUNT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,9}")
AccountName = Annotated[
    str,
    PlainValidator(matching(_ACCOUNT, "the name or the number of a user or a group")),
    text_schema(f"^({_ACCOUNT.pattern})$", "the name or the number of a user or a group"),
]


class Listener(Value):
    """One address that clients connect to."""

    address: ListenOn
    """host:port, [v6]:port, unix:/path or fd@N (a descriptor passed by systemd)."""
    tls: Tls | None = None
    """Speak TLS here, with these certificates; without it plain HTTP."""
    redirect: HttpsPlace | None = None
    """https, or https:PORT: serve nothing here but send everybody there (308)."""
    proxy_protocol: bool = False
    """Whether connections begin with a PROXY header (version 1 or 2), which says who the client is. Only those from
    `trusted_proxies`, or over a unix socket, are taken then; TLS begins behind the header."""

    @model_validator(mode="after")
    def _redirects_from_http(self) -> Self:
        if self.redirect is not None and self.tls is not None:
            raise ValueError("redirect sends from http to https: leave out tls, or redirect")
        return self


class Limits(ServiceLimits):
    """What a client or an endpoint may send, and how much at a time."""

    request_line: HeadSize = 8 * 1024
    """The request line (414)."""
    head: HeadSize = 32 * 1024
    """The head of a request: request line and header fields (431)."""
    headers: Annotated[int, Field(ge=1, le=MAX_HEADERS)] = 100
    """Header fields in a head (431)."""
    response_head: HeadSize = 64 * 1024
    """The head of a response (502)."""
    trailers: HeadSize = 8 * 1024
    """The trailer fields of a message (431, 502)."""
    connections: PositiveCount = 10_000
    """Client connections per worker; more are closed at once."""
    connections_per_client: Count = 0
    """Connections from one client address, per worker; 0: unlimited."""
    client_rate: SizeOrOff = 240
    """Bytes a second that a client has to send of a body (408), and to take of an answer, over each `timeouts.idle`."""

    @model_validator(mode="after")
    def _line_within_head(self) -> Self:
        if self.request_line > self.head:
            raise ValueError("request_line is a part of head and cannot be larger")
        return self


class Timeouts(ServiceTimeouts):
    """Every wait has a deadline; most can be set per service as well."""

    head: Duration = 10.0
    """From the first byte of a request to the end of its head (408)."""
    keepalive: DurationOrOff = 75.0
    """Between two requests of a client; off: every response closes its connection."""


class AccessLog(Value):
    """One line per request."""

    format: Literal["json", "combined"] = "json"
    """json: one object per line; combined: as Apache and nginx write it."""
    output: LogOutput = "stdout"
    """stdout, or the path of a file (SIGUSR1 opens it again)."""
    fields: OneOrMore[LogField] = LOG_FIELDS
    """The fields of a json line, in this order."""
    drop: OneOrMore[LogField] = ()
    """Fields to leave out of `fields`."""

    @model_validator(mode="after")
    def _distinct_fields(self) -> Self:
        if len(set(self.fields)) != len(self.fields):
            raise ValueError("fields has one of them twice")
        if not self.kept_fields:
            raise ValueError("at least one field must be left; access_log: off writes no lines")
        return self

    @property
    def kept_fields(self) -> tuple[LogField, ...]:
        """The fields that are written."""
        return tuple(field for field in self.fields if field not in self.drop)


class Metrics(Value):
    """What /metrics shows."""

    buckets: tuple[Duration, ...] = DEFAULT_BUCKETS
    """Upper bounds of the latency histogram, ascending; the proxy counts finer than this."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if not self.buckets or list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError("buckets must be durations in ascending order, at least one")
        return self


class Config(Value):
    """A whole configuration file."""

    listen: NotEmpty[tuple[Listener, ...]]
    """Where clients connect."""
    services: NotEmpty[Table[Name, Service]]
    """What clients ask for, by name."""
    routes: tuple[Route, ...] = ()
    """Which requests go to which service, after the previews of rollouts. Default, with one service only: all."""
    rollouts: Table[Name, Rollout] = Field(default_factory=Table)
    """How new versions are rolled out, by name of the service."""
    admin: Admin = Admin()
    """The admin API."""
    controller: Controller = Controller()
    """The controller of rollouts, a program of its own."""
    user: AccountName | None = None
    """Who the workers, which alone meet clients, are when root starts the proxy. Default: who started it."""
    group: AccountName | None = None
    """The group of the workers. Default: that of the user."""
    workers: Workers = "auto"
    """Processes that share the listening ports; auto: one per core."""
    state_dir: Annotated[FilePath, Field(validate_default=True)] = Path("state")
    """The folder for live weights and the journal of rollouts; it outlives restarts."""
    access_log: OrOff[AccessLog] = AccessLog()
    """One line per request, or off."""
    limits: Limits = Limits()
    """What a client or an endpoint may send."""
    timeouts: Timeouts = Timeouts()
    """How long everything may take."""
    trusted_proxies: OneOrMore[Network] = ()
    """Peers whose X-Forwarded-*, Forwarded and X-Serinus-* are believed, as addresses or ranges."""
    internal_headers: OneOrMore[OwnHeader] = ()
    """Header fields of requests that only `trusted_proxies` may send; those of others are dropped."""
    via: OrOff[Annotated[Via, TextToo()]] = None
    """Our name in the Via field of requests; off: they get none of ours."""
    cookie_secret_file: SharedSecret | None = None
    """What signs the cookies of own-cookie: several proxies that share it know each other's users. Default: its own."""
    drain_timeout: DurationOrOff = 30.0
    """How long a stopping proxy waits for requests in flight."""
    metrics: Metrics = Metrics()
    """The Prometheus metrics of the admin API."""

    @model_validator(mode="after")
    def _group_of_a_user(self) -> Self:
        if self.group is not None and self.user is None:
            raise ValueError("group needs user, whose group it is")
        return self
