"""What is live beside what the file says: the overlay that outlives a restart, and the difference shown to people.

Owns the shape of the overlay and how it is laid over a configuration. Must not read or write it (`proxy.state`).

Rules:
1. The file is the base; the overlay holds only what differs from it. What was changed live wins over the file until the
   two agree again, at a restart exactly as at a reload.
2. Laying the overlay of a live state over its own configuration gives that state again.
3. What the file does not have any more is dropped, and `forgotten` says so. A split of which nothing is left gives way
   to that of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from config.model import Config
from config.model import Service as ServiceConfig
from proxy.core.live import Change, Lease, Live, LiveEndpoint, LiveService
from proxy.core.snapshot import EndpointState


@dataclass(frozen=True, slots=True)
class VersionOverlay:
    """How the endpoints of one version differ from the file; `states` holds those that are not up."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    states: Mapping[str, EndpointState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceOverlay:
    """How one service differs from the file; `weights` is None where the split is that of the file. `split_change` is
    None in what was saved before there was one; then `change` stands for it.
    """

    change: Change
    weights: Mapping[str, float] | None = None
    active: str | None = None
    split_change: Change | None = None
    versions: Mapping[str, VersionOverlay] = field(default_factory=dict)
    lease: Lease | None = None


Overlay = Mapping[str, ServiceOverlay]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the file says: `file` and `live` are JSON-able, `change` is the last of its service."""

    service: str
    path: str
    file: object
    live: object
    change: Change


def from_config(config: Config, overlay: Overlay, salts: Mapping[str, bytes], change: Change) -> Live:
    """The live state of a configuration with an overlay. `salts` has one for every service; the generation and the
    last change of what is not overlaid are those of `change`.
    """
    return Live(
        generation=change.generation,
        config=config,
        services={
            name: _service(service, overlay.get(name, ServiceOverlay(change)), salts[name], change)
            for name, service in config.services.items()
        },
    )


def reconfigure(live: Live, config: Config, change: Change, salts: Mapping[str, bytes]) -> Live:
    """The live state after the file was read again. `salts` has one for every service that is new."""
    stamped = replace(change, generation=live.generation + 1)
    kept = {name: service.salt for name, service in live.services.items()}
    new = from_config(config, overlay(live), {**salts, **kept}, stamped)
    services = {name: _stamped(service, live.services.get(name), stamped) for name, service in new.services.items()}
    return replace(new, services=services)


def overlay(live: Live) -> dict[str, ServiceOverlay]:
    """What differs from the file, by service."""
    overlays = {name: _overlay(live.config.services[name], service) for name, service in live.services.items()}
    return {name: over for name, over in overlays.items() if over.weights is not None or over.versions or over.lease}


def forgotten(config: Config, overlay: Overlay) -> Iterator[str]:
    """A sentence for each part of an overlay that this configuration has no place for."""
    for name, over in overlay.items():
        service = config.services.get(name)
        if service is None:
            yield f"{name}: what was changed live is dropped: the file has no such service any more"
            continue
        weighted = {version for version, weight in (over.weights or {}).items() if weight}
        for version in sorted((weighted | set(over.versions)) - set(service.versions)):
            yield f"{name}: what was changed live for {version} is dropped: the file has no such version any more"


def difference(live: Live) -> Iterator[Difference]:
    """Everything that is not as the file says."""
    for name, over in overlay(live).items():
        service, path = live.config.services[name], f"services.{name}"
        if over.weights is not None:
            yield Difference(name, f"{path}.split", dict(service.weights), dict(over.weights), over.change)
        for version, endpoints in over.versions.items():
            path = f"services.{name}.versions.{version}.endpoints"
            if endpoints.added or endpoints.removed:
                now = [endpoint.address for endpoint in live.services[name].versions[version]]
                yield Difference(name, path, _addresses(service, version), now, over.change)
            for address, state in endpoints.states.items():
                yield Difference(name, f"{path}.{address}.state", "up", state, over.change)


def describe(different: Difference) -> str:
    """One difference as a line for people."""
    change = different.change
    at = datetime.fromtimestamp(change.at_wall_seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    why = f": {change.reason}" if change.reason else ""
    path = different.path.removeprefix(f"services.{different.service}.")
    return (
        f"{different.service}: {path} {_text(different.live)} (changed live {at} by {change.by}{why}) "
        f"instead of {_text(different.file)} in the file"
    )


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={weight:g}" for name, weight in value.items())
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value)


def _addresses(service: ServiceConfig, version: str) -> list[str]:
    return list(dict.fromkeys(str(address) for address in service.versions[version].endpoints))


def _service(service: ServiceConfig, over: ServiceOverlay, salt: bytes, change: Change) -> LiveService:
    weights, active, split_change = dict(service.weights), service.active, change
    overlaid = {version: (over.weights or {}).get(version, 0.0) for version in service.versions}
    if any(overlaid.values()):
        weights, active, split_change = overlaid, over.active, over.split_change or over.change
    versions = {
        version: _endpoints(_addresses(service, version), over.versions.get(version, VersionOverlay()))
        for version in service.versions
    }
    return LiveService(weights, versions, over.change, split_change, salt, active, over.lease)


def _endpoints(addresses: list[str], over: VersionOverlay) -> tuple[LiveEndpoint, ...]:
    kept = [address for address in addresses if address not in over.removed]
    return tuple(
        LiveEndpoint(address, over.states.get(address, "up")) for address in dict.fromkeys([*kept, *over.added])
    )


def _overlay(service: ServiceConfig, live: LiveService) -> ServiceOverlay:
    split_differs = (dict(live.weights), live.active) != (dict(service.weights), service.active)
    versions = {
        version: _version_overlay(_addresses(service, version), live.versions[version]) for version in live.versions
    }
    return ServiceOverlay(
        change=live.last_change,
        weights=dict(live.weights) if split_differs else None,
        active=live.active if split_differs else None,
        split_change=live.split_change if split_differs else None,
        versions={version: over for version, over in versions.items() if over != VersionOverlay()},
        lease=live.lease,
    )


def _version_overlay(addresses: list[str], endpoints: tuple[LiveEndpoint, ...]) -> VersionOverlay:
    now = {endpoint.address: endpoint.state for endpoint in endpoints}
    return VersionOverlay(
        added=tuple(address for address in now if address not in addresses),
        removed=tuple(address for address in addresses if address not in now),
        states={address: state for address, state in now.items() if state != "up"},
    )


def _stamped(new: LiveService, old: LiveService | None, change: Change) -> LiveService:
    """Keep the changes of a service, or of its split, that a reload did not touch."""
    if old is not None and (new.weights, new.active) == (old.weights, old.active):
        new = replace(new, split_change=old.split_change)
    unchanged = old is not None and replace(new, last_change=old.last_change) == old
    return replace(new, last_change=old.last_change if old is not None and unchanged else change)
