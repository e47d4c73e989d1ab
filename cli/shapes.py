"""The answers of the admin API as the client gives them on: plain JSON with the names that it has there.

Owns nothing but names and types. Shares are ratios from 0 to 1, durations are seconds, instants seconds since 1970;
None is "not known (yet)".
"""

from typing import Any, Literal, TypedDict


class EndpointStatus(TypedDict):
    """One endpoint of a version."""

    address: str
    state: Literal["up", "drain", "down"]
    healthy: bool
    detail: str
    since: float | None
    in_flight: int
    ejected_workers: int


class VersionStatus(TypedDict):
    """One version of a service, and how it has been doing lately."""

    weight: float
    target: float
    actual: float | None
    requests_per_second: float
    error_share: float | None
    p50: float | None
    p99: float | None
    endpoints: list[EndpointStatus]


class LastChange(TypedDict):
    """Who changed a service last, why and when."""

    by: str
    actor: str
    reason: str
    at: float
    generation: int


class RunOut(TypedDict):
    """How a lease ran out."""

    done: str
    reason: str
    seconds_ago: float


class BroughtStatus(TypedDict):
    """The version that a rollout brings, and what guards it."""

    version: str
    reference: str
    breaker: dict[str, int] | None


class LeaseStatus(TypedDict):
    """Who leads a service; `ran_out` is set when nothing was heard of them for too long."""

    holder: str
    seconds: float
    do: str
    weights: dict[str, float] | None
    active: str | None
    brings: BroughtStatus | None
    remaining: float | None
    ran_out: RunOut | None


class ServiceStatus(TypedDict):
    """One service; `active` is set in pool mode."""

    name: str
    generation: int
    split: dict[str, float]
    active: str | None
    versions: dict[str, VersionStatus]
    last_change: LastChange
    split_change: LastChange
    lease: LeaseStatus | None


class State(TypedDict):
    """Everything that is live."""

    generation: int
    services: dict[str, ServiceStatus]
    routes: list[dict[str, Any]]


class Difference(TypedDict):
    """One thing that is not as the file says."""

    service: str
    path: str
    file: Any
    live: Any
    last_change: LastChange


class Differences(TypedDict):
    """Everything that is not as the file says."""

    generation: int
    differences: list[Difference]
