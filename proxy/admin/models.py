"""The shapes of bodies, queries and answers of the admin API; the OpenAPI document is made from them.

Owns names and types. Must not check what depends on the live state (`proxy.core.live` does): here a weight may be any
number and a version any text, so that all problems of a change are told at once.

1. Bodies and queries are closed: an unknown key is a problem.
2. Units: shares are ratios from 0 to 1, durations and latencies seconds, instants seconds since 1970 unless another
   clock is named; null is "not known".
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from config.service import Breaker
from webapi.shapes import Closed, Reason

MAX_STATS_SECONDS: Final = 900

# Checked against the live state together with everything else.
AnyWeight = Annotated[Any, WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1e9})]
AnyState = Annotated[str, WithJsonSchema({"type": "string", "enum": ["up", "drain", "down"]})]


_SALT: Final = "^(new|[0-9a-f]{32})$"


def _salt(text: str) -> str:
    if re.fullmatch(_SALT, text) is None:
        raise ValueError("must be 'new' or 32 hexadecimal digits")
    return text


Salt = Annotated[str, AfterValidator(_salt), WithJsonSchema({"type": "string", "pattern": _SALT})]


# --- what is asked ----------------------------------------------------------------------------------------------------


class ChangeBody(Closed):
    """What every change may say."""

    reason: Reason = ""
    """Why; shown as the last change of the service, in events and in the log."""


class SplitBody(ChangeBody):
    """A new split."""

    weights: dict[str, AnyWeight]
    """The weight of each version, relative to their sum; a version that is not named gets 0."""
    salt: Salt | None = None
    """Deals the users of a sticky split anew: `new`, or 32 hexadecimal digits, which deal them alike at every proxy."""


class ActiveBody(ChangeBody):
    """A switch of pools."""

    version: str
    """The version that gets everything."""


class EndpointBody(ChangeBody):
    """A new endpoint."""

    address: str
    """host:port, [v6]:port or unix:/path."""


class EndpointStateBody(ChangeBody):
    """What an endpoint is for."""

    state: AnyState
    """up; drain: finish what is in flight, take nothing new; down: take nothing."""


class BroughtPart(Closed):
    """The version that a rollout brings, and what guards it."""

    version: str
    reference: str
    """The version that it replaces, and is compared with."""
    breaker: Breaker | None = None
    """What takes it out while both have requests; null: nothing does."""


class LeaseBody(Closed):
    """A lease: for how long a service counts as led without news, and what follows then."""

    seconds: Annotated[float, Field(ge=0.1, le=86400)]
    """How long, from each renewal on."""
    do: Literal["hold", "rollback"]
    """hold keeps the split as it is, and says so; rollback goes back to `weights` or `active`, once."""
    weights: dict[str, AnyWeight] | None = None
    """The split to go back to."""
    active: str | None = None
    """The version that gets everything back, in pool mode."""
    brings: BroughtPart | None = None
    """The version that the holder brings; guarded as long as the lease is there, also when it has run out."""


class ChangeQuery(Closed):
    """How a change is made."""

    model_config = ConfigDict(strict=False)

    dry_run: bool = False
    """Answer what would be, change nothing."""


class RemovalQuery(ChangeQuery):
    """How an endpoint is removed."""

    force: bool = False
    """Remove it even when requests are in flight on it."""
    reason: Reason = ""
    """Why; a DELETE has no body to say it in."""


class LeaseEndQuery(ChangeQuery):
    """How a lease is ended."""

    force: bool = False
    """End it also when somebody else holds it."""


class StatsQuery(Closed):
    """Which statistics."""

    model_config = ConfigDict(strict=False)

    seconds: Annotated[int, Field(ge=1, le=MAX_STATS_SECONDS)] = 60
    """How far back."""
    service: list[str] = Field(default_factory=list)
    """Only this service; may be repeated. Default: all."""


# --- what is answered -------------------------------------------------------------------------------------------------


class ChangeView(Closed):
    """Who changed something, why and when."""

    by: str
    """The name of a token, or what somebody without one says; `breaker`, `file` and `reload` are the proxy itself."""
    actor: str
    """What the owner of the token says of themselves."""
    reason: str
    at: float
    generation: int


class EndpointView(Closed):
    """One endpoint: what an operator wants of it, and how it is."""

    address: str
    state: Literal["up", "drain", "down"]
    healthy: bool
    """What the active checks say."""
    detail: str
    """Why, in a few words."""
    since: float | None
    """When `healthy` last changed."""
    in_flight: int
    """Requests on it now, over all workers."""
    ejected_workers: int
    """Workers that give it nothing because real requests failed on it."""


class VersionView(Closed):
    """One version: its part of the traffic and how it has been doing for the last ten seconds."""

    weight: float
    target: float
    """The share that the weights give it."""
    actual: float | None
    """The share that it got in the last minute; null without requests."""
    requests_per_second: float
    error_share: float | None
    p50: float | None
    p99: float | None
    endpoints: list[EndpointView]


class RunOutView(Closed):
    """How a lease ran out."""

    done: Literal["held", "rolled back"]
    reason: str
    seconds_ago: float


class LeaseView(Closed):
    """Who leads a service, and what follows when nothing more is heard of them."""

    holder: str
    seconds: float
    """How long it lasts from each renewal on."""
    do: Literal["hold", "rollback"]
    weights: dict[str, float] | None
    active: str | None
    brings: BroughtPart | None
    """The version that the holder brings, and what guards it."""
    remaining: float | None
    """Seconds until it runs out; null once it has."""
    ran_out: RunOutView | None
    """Null as long as it is renewed in time."""


class ServiceView(Closed):
    """One service."""

    name: str
    generation: int
    """Of the live state as a whole."""
    split: dict[str, float]
    """The weights."""
    active: str | None
    """The version that has everything, in pool mode."""
    versions: dict[str, VersionView]
    last_change: ChangeView
    """Of anything in it."""
    split_change: ChangeView
    """What made the split as it is."""
    lease: LeaseView | None
    """Who leads it; null when nobody does."""


class ServicesView(Closed):
    """All services."""

    generation: int
    services: dict[str, ServiceView]


class StateView(ServicesView):
    """The live snapshot. The ETag is the generation: health and rates change without a new one."""

    routes: list[dict[str, Any]]
    """The previews of rollouts, then those of the file, in its order."""


class ConfigView(Closed):
    """The configuration in force, with defaults; secrets are masked."""

    generation: int
    config: dict[str, Any]


class DifferenceView(Closed):
    """One thing that is not as the file says."""

    service: str
    path: str
    """Where in the file."""
    file: Any
    live: Any
    last_change: ChangeView
    """Of the service."""


class ConfigDiffView(Closed):
    """Everything that is not as the file says; what is live wins, at a restart too."""

    generation: int
    differences: list[DifferenceView]


class ReloadView(ConfigDiffView):
    """The file is in force, as far as nothing that is live differs from it."""

    notices: list[str]
    """What of it needs a restart."""


class HandoverFailureView(Closed):
    """Why a next version did not take over."""

    at: float
    reason: str


class HandoverView(Closed):
    """How this proxy follows another one, and is followed (SIGUSR2). Process ids are 0 where there is no such proxy."""

    pid: int
    """The proxy that answers."""
    phase: Literal["alone", "starting", "handing_over", "handed_over", "taking_over"]
    """alone: nothing is under way; starting: the next version starts; handing_over: it has the state, so changes are
    refused; handed_over: it serves, and this proxy finishes what it has."""
    predecessor: int
    """The proxy that this one took over from."""
    successor: int
    """The next version."""
    failures: int
    """How often a next version did not take over."""
    last_failure: HandoverFailureView | None


class SecondView(Closed):
    """Requests of one version by the second of their arrival."""

    t: int
    requests: int
    done: int
    errors: int
    aborted: int
    client_errors: int
    """Answered with 4xx; they are no errors."""
    in_flight: int
    bins: dict[str, int]
    """How many were done without failing within each latency bin, by index into `bin_lower_bounds_seconds`."""


class VersionStatsView(Closed):
    """One version, second by second."""

    seconds: list[SecondView]
    in_flight: int
    in_flight_older: int
    """Of `in_flight`, those that arrived before the first second here."""


class StatsView(Closed):
    """What the controller reads."""

    now: int
    """The second that has begun, by `clock`."""
    clock: Literal["monotonic"]
    bin_lower_bounds_seconds: list[float]
    services: dict[str, dict[str, VersionStatsView]]


class HealthView(Closed):
    """The proxy is alive, or ready."""

    status: Literal["alive", "ready"]


class EventView(BaseModel):
    """The `data` of one event. Its kind is the `event` of the stream; of `lost`, which says that some are missing, the
    data is empty.
    """

    model_config = ConfigDict(extra="allow")

    at: float | None = None
