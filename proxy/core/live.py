"""The live state: what the file says plus what was changed since, as one immutable value, and the steps that change it.

Owns `Live`, its parts, and every admin step on it. Must not know workers, sockets, health or the state file; what the
file says against what is live is `proxy.core.overlay`, what a worker gets of it is `proxy.core.serving`.

Rules:
1. Every value here is frozen. A step returns a new `Live` whose generation is one more, or raises `Refused` with all
   problems and has changed nothing.
2. The weights of a service name every one of its versions, are finite and not negative, and at least one is positive.
3. In pool mode (`active` is not None) the active version has weight 1 and every other one 0.
4. An endpoint is named by its address in canonical form, once per version.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, TypeVar, get_args

from config.address import parse_endpoint_address
from config.guard import Brought
from config.model import Config
from config.problems import Problem as Problem  # exported: whoever makes a Refused needs them
from config.problems import nearest as nearest
from proxy.core.snapshot import EndpointState

V = TypeVar("V")
Loss = Literal["hold", "rollback"]
Done = Literal["held", "rolled back"]

ENDPOINT_STATES: Final[tuple[EndpointState, ...]] = get_args(EndpointState)
SALT_BYTES: Final = 16
_MAX_WEIGHT: Final = 1e9  # as in the file


class Refused(Exception):
    """A step that cannot be taken: `status` is the HTTP status that says why, `problems` are all that is wrong.

    The path of a problem is that of a field ("weights.canary"). After `retry_after` seconds, if not 0, it may be taken.
    """

    def __init__(self, status: int, title: str, problems: tuple[Problem, ...] = (), *, retry_after: int = 0) -> None:
        super().__init__("; ".join([title, *(problem.message for problem in problems)]))
        self.status = status
        self.title = title
        self.problems = problems
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Change:
    """Who changed something, why and when. The generation is filled in by the step."""

    by: str
    reason: str = ""
    at_wall_seconds: float = 0.0
    generation: int = 0
    #: What whoever has the token `by` says of themselves.
    actor: str = ""


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """One address of a version and what an operator wants of it."""

    address: str
    state: EndpointState = "up"


@dataclass(frozen=True, slots=True)
class RunOut:
    """What was done when a lease had run out."""

    done: Done
    reason: str
    at_wall_seconds: float


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads a service, how long that is believed without news, and what follows then; `weights` or `active` is the
    split that a rollback goes back to. `brings` is guarded as long as the lease is there, also when it has run out.
    """

    holder: str
    seconds: float
    do: Loss
    weights: Mapping[str, float] | None = None
    active: str | None = None
    brings: Brought | None = None
    ran_out: RunOut | None = None


@dataclass(frozen=True)
class LiveService:
    """The live split and endpoints of one service; `active` is set in pool mode. `split_change` is what made the split
    as it is: whoever led it has to know, whatever was changed of the endpoints since.
    """

    weights: Mapping[str, float]
    versions: Mapping[str, tuple[LiveEndpoint, ...]]
    last_change: Change
    split_change: Change
    salt: bytes = field(repr=False)
    active: str | None = None
    lease: Lease | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))
        object.__setattr__(self, "versions", MappingProxyType(dict(self.versions)))

    @property
    def shares(self) -> dict[str, float]:
        """The share of each version, from 0 to 1."""
        total = math.fsum(self.weights.values())
        return {version: weight / total for version, weight in self.weights.items()}


@dataclass(frozen=True)
class Live:
    """The configuration in force and the live state of each of its services."""

    generation: int
    config: Config
    services: Mapping[str, LiveService]

    def __post_init__(self) -> None:
        object.__setattr__(self, "services", MappingProxyType(dict(self.services)))

    def service(self, name: str) -> LiveService:
        """One service. Raises Refused (404) when there is none of this name."""
        return _named(self.services, name, "service", "There is no service")

    def endpoints(self, service: str, version: str) -> tuple[LiveEndpoint, ...]:
        """The endpoints of one version. Raises Refused (404) when there is no such service or version."""
        return _named(self.service(service).versions, version, "version", f"{service} has no version")

    def endpoint(self, service: str, version: str, address: str) -> LiveEndpoint:
        """One endpoint. Raises Refused (404) when there is none."""
        named = {endpoint.address: endpoint for endpoint in self.endpoints(service, version)}
        return _named(named, _canonical_or_same(address), "address", f"{service}/{version} has no endpoint")


def set_split(
    live: Live, service: str, weights: Mapping[str, float], change: Change, salt: bytes | None = None
) -> Live:
    """Set the weights of a service; a version that is not named gets 0. A new salt deals the users anew.

    Raises:
        Refused: 404 for an unknown service, 422 for weights or a salt that cannot be.
    """
    old = live.service(service)
    problems = _problems_of_weights(weights, old.weights)
    if salt is not None and len(salt) != SALT_BYTES:
        problems.append(Problem("salt", f"a salt has {SALT_BYTES} bytes, not {len(salt)}"))
    if problems:
        raise Refused(422, f"The split of {service} cannot be set", tuple(problems))
    complete = {version: float(weights.get(version, 0.0)) for version in old.weights}
    return _with_split(live, service, replace(old, weights=complete, active=None, salt=salt or old.salt), change)


def activate(live: Live, service: str, version: str, change: Change) -> Live:
    """Give everything to one version (pool mode).

    Raises:
        Refused: 404 for an unknown service, 422 for an unknown version.
    """
    old = live.service(service)
    if version not in old.versions:
        problem = Problem("version", f"{service} has no version {version!r}", suggestion=nearest(version, old.versions))
        raise Refused(422, f"{service} cannot be switched", (problem,))
    weights = {name: 1.0 if name == version else 0.0 for name in old.weights}
    return _with_split(live, service, replace(old, weights=weights, active=version), change)


def add_endpoint(live: Live, service: str, version: str, address: str, change: Change) -> Live:
    """Add an endpoint to a version, in state up.

    Raises:
        Refused: 404 for an unknown service or version, 409 when it is there already, 422 for what is no address.
    """
    endpoints = live.endpoints(service, version)
    try:
        canonical = str(parse_endpoint_address(address))
    except ValueError as exc:
        raise Refused(422, "The endpoint cannot be added", (Problem("address", str(exc)),)) from exc
    if any(endpoint.address == canonical for endpoint in endpoints):
        problem = Problem("address", f"{service}/{version} already has the endpoint {canonical}")
        raise Refused(409, "The endpoint is there already", (problem,))
    return _with_endpoints(live, service, version, (*endpoints, LiveEndpoint(canonical)), change)


def set_endpoint_state(
    live: Live, service: str, version: str, address: str, state: EndpointState, change: Change
) -> Live:
    """Set what an endpoint is for: up, drain (finish, take no new requests) or down.

    Raises:
        Refused: 404 for an unknown service, version or endpoint, 422 for an unknown state.
    """
    old = live.endpoint(service, version, address)
    if state not in ENDPOINT_STATES:
        problem = Problem(
            "state", f"{state!r} is not one of {', '.join(ENDPOINT_STATES)}", suggestion=nearest(state, ENDPOINT_STATES)
        )
        raise Refused(422, "The endpoint cannot be changed", (problem,))
    endpoints = live.endpoints(service, version)
    changed = tuple(replace(old, state=state) if endpoint is old else endpoint for endpoint in endpoints)
    return _with_endpoints(live, service, version, changed, change)


def remove_endpoint(live: Live, service: str, version: str, address: str, change: Change) -> Live:
    """Take an endpoint away. Whether it is idle is for the caller to know.

    Raises:
        Refused: 404 for an unknown service, version or endpoint.
    """
    old = live.endpoint(service, version, address)
    kept = tuple(endpoint for endpoint in live.endpoints(service, version) if endpoint is not old)
    return _with_endpoints(live, service, version, kept, change)


def change_of(live: Live) -> dict[str, Change]:
    """What made the newest generation: the last change of each service that it touched."""
    return {
        name: service.last_change
        for name, service in live.services.items()
        if service.last_change.generation == live.generation
    }


def _problems_of_weights(weights: Mapping[str, float], versions: Mapping[str, object]) -> list[Problem]:
    problems = [
        Problem(f"weights.{version}", f"there is no version {version!r}", suggestion=nearest(version, versions))
        for version in weights
        if version not in versions
    ]
    for version, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            problems.append(Problem(f"weights.{version}", f"a weight is a number, not {weight!r}"))
        elif not 0 <= weight <= _MAX_WEIGHT:
            problems.append(
                Problem(f"weights.{version}", f"a weight lies between 0 and {_MAX_WEIGHT:g}, not {weight!r}")
            )
    if not problems and not any(weights.values()):
        problems.append(Problem("weights", "all weights are 0: at least one version has to get the requests"))
    return problems


def _canonical_or_same(address: str) -> str:
    try:
        return str(parse_endpoint_address(address))
    except ValueError:
        return address


def _named(values: Mapping[str, V], name: str, path: str, sentence: str) -> V:
    value = values.get(name)
    if value is None:
        message = f"{sentence} {name!r}"
        raise Refused(404, message, (Problem(path, message, suggestion=nearest(name, values)),))
    return value


def _with_endpoints(
    live: Live, service: str, version: str, endpoints: tuple[LiveEndpoint, ...], change: Change
) -> Live:
    old = live.service(service)
    return _with_service(live, service, replace(old, versions={**old.versions, version: endpoints}), change)


def _with_split(live: Live, name: str, service: LiveService, change: Change) -> Live:
    stamped = replace(change, generation=live.generation + 1)
    return _with_service(live, name, replace(service, split_change=stamped), change)


def _with_service(live: Live, name: str, service: LiveService, change: Change) -> Live:
    generation = live.generation + 1
    stamped = replace(service, last_change=replace(change, generation=generation))
    return replace(live, generation=generation, services={**live.services, name: stamped})
