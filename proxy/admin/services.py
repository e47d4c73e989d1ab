"""One service as people see it: the live state beside what is known of its endpoints and how it did lately.

Owns the translation into the models. Must not decide or change anything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from config.guard import Brought
from proxy.admin.models import BroughtPart, ChangeView, EndpointView, LeaseView, RunOutView, ServiceView, VersionView
from proxy.admin.ports import Observations, Supervisor
from proxy.core.live import Change, Lease, Live, LiveEndpoint, LiveService


@dataclass(frozen=True, slots=True)
class Views:
    """Views of services in one live state, which need not be the current one."""

    live: Live
    supervisor: Supervisor
    observations: Observations

    def every(self) -> dict[str, ServiceView]:
        """All services."""
        return {name: self.one(name) for name in self.live.services}

    def one(self, name: str) -> ServiceView:
        """One service. Raises Refused (404)."""
        service = self.live.service(name)
        actual = self.observations.actual_shares(name)
        return ServiceView(
            name=name,
            generation=self.live.generation,
            split=dict(service.weights),
            active=service.active,
            versions={version: self._version(name, version, service, actual) for version in service.versions},
            last_change=change_view(service.last_change),
            split_change=change_view(service.split_change),
            lease=self._lease(name, service),
        )

    def _lease(self, name: str, service: LiveService) -> LeaseView | None:
        if service.lease is None:
            return None
        return lease_view(service.lease, self.supervisor.leases.remaining(name), time.time())

    def _version(self, name: str, version: str, service: LiveService, actual: dict[str, float]) -> VersionView:
        rates = self.observations.rates(name, version)
        return VersionView(
            weight=service.weights[version],
            target=service.shares[version],
            actual=actual.get(version),
            requests_per_second=rates.per_second,
            error_share=rates.error_share,
            p50=rates.p50,
            p99=rates.p99,
            endpoints=[self._endpoint(name, version, endpoint) for endpoint in service.versions[version]],
        )

    def _endpoint(self, name: str, version: str, endpoint: LiveEndpoint) -> EndpointView:
        place = (name, version, endpoint.address)
        health = self.supervisor.health_of(*place)
        is_served = self._is_served(*place)
        return EndpointView(
            address=endpoint.address,
            state=endpoint.state,
            healthy=health.healthy,
            detail=health.detail,
            since=time.time() - (time.monotonic() - health.since) if health.since else None,
            in_flight=self.supervisor.in_flight(*place) if is_served else 0,
            ejected_workers=self.supervisor.ejected_workers(*place) if is_served else 0,
        )

    def _is_served(self, service: str, version: str, address: str) -> bool:
        """Whether an endpoint is counted: one that a dry run shows has no counters yet."""
        now = self.supervisor.live
        if now is self.live:
            return True
        endpoints = now.services[service].versions.get(version, ()) if service in now.services else ()
        return any(endpoint.address == address for endpoint in endpoints)


def lease_view(lease: Lease, remaining: float | None, now_wall: float) -> LeaseView:
    """A lease, and how it ran out."""
    ran_out = None
    if lease.ran_out is not None:
        ago = max(0.0, now_wall - lease.ran_out.at_wall_seconds)
        ran_out = RunOutView(done=lease.ran_out.done, reason=lease.ran_out.reason, seconds_ago=ago)
    return LeaseView(
        holder=lease.holder,
        seconds=lease.seconds,
        do=lease.do,
        weights=None if lease.weights is None else dict(lease.weights),
        active=lease.active,
        brings=_brought_part(lease.brings) if lease.brings is not None else None,
        remaining=remaining,
        ran_out=ran_out,
    )


def _brought_part(brought: Brought) -> BroughtPart:
    return BroughtPart(version=brought.version, reference=brought.reference, breaker=brought.breaker)


def change_view(change: Change) -> ChangeView:
    """Who changed something, why and when."""
    return ChangeView(
        by=change.by,
        actor=change.actor,
        reason=change.reason,
        at=change.at_wall_seconds,
        generation=change.generation,
    )
