"""The metrics of all workers together, as /metrics shows them.

Owns the names, labels and meanings of the metrics (`FAMILIES`, which the documentation is made of) and where each
number comes from. Must not keep a number of its own: every scrape reads the counters.

Rules:
1. Label values come from the configuration or a closed list, never from a request.
2. A total never goes down while its series exists. What belonged to a version or an endpoint that was removed is gone
   at the next scrape.
3. `collect` may run in any thread: it works on the live state of the moment in which it began.

Units: as Prometheus has them, seconds, bytes and ratios from 0 to 1.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from proxy.certificates import Material
from proxy.child import ChildState
from proxy.core.histogram import added, coarsen
from proxy.core.live import Done, Live, LiveEndpoint, LiveService
from proxy.core.outcome import Outcome, Reason
from proxy.core.serving import EndpointHealth
from proxy.core.slots import Slots
from proxy.crew import WorkerState
from proxy.leases import Leases
from proxy.succession import Succession
from proxy.wire.counters import Slab

if TYPE_CHECKING:
    from proxy.wire.counters import VersionTotals  # exists in the stub alone

_VERSION: Final = ("service", "version")
_ENDPOINT: Final = (*_VERSION, "endpoint")
_WORKER_STATES: Final[tuple[str, ...]] = get_args(ChildState)
#: What one endpoint can do with an attempt; that there was none to ask, only the version knows.
_AT_ENDPOINTS: Final = tuple(outcome for outcome in Outcome if outcome is not Outcome.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its whole name, its kind, its labels and what it says."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


def _counter(name: str, labels: Iterable[str], text: str) -> Family:
    return Family(name, "counter", tuple(labels), text)


def _gauge(name: str, labels: Iterable[str], text: str) -> Family:
    return Family(name, "gauge", tuple(labels), text)


FAMILIES: Final[tuple[Family, ...]] = (
    # What clients got. A request that no route matched has an empty service and version.
    _counter(
        "serinus_requests_total",
        (*_VERSION, "code"),
        "Requests by the status that the client got; 0: the connection ended without one.",
    ),
    Family(
        "serinus_request_duration_seconds",
        "histogram",
        _VERSION,
        "From the first byte of a request to the last of its response.",
    ),
    _gauge("serinus_requests_in_flight", _VERSION, "Attempts that endpoints of the version are answering now."),
    _counter("serinus_request_bytes_total", _VERSION, "Bytes of request bodies."),
    _counter("serinus_response_bytes_total", _VERSION, "Bytes of response bodies."),
    _counter("serinus_errors_total", (*_VERSION, "reason"), "Requests that did not simply pass through, and why."),
    _counter("serinus_retries_total", _VERSION, "Attempts after the first one, by the version that had failed."),
    # What the versions did.
    _counter(
        "serinus_attempts_total",
        (*_ENDPOINT, "outcome"),
        "Attempts by what the endpoint did; unavailable, without an endpoint: the version had none that was usable.",
    ),
    _gauge("serinus_endpoint_up", _ENDPOINT, "1 when the endpoint is up, healthy and its address known, else 0."),
    _gauge("serinus_endpoint_ejected", _ENDPOINT, "Workers that send the endpoint nothing because it failed them."),
    _counter("serinus_endpoint_ejections_total", _ENDPOINT, "Times that a worker stopped sending to the endpoint."),
    _gauge("serinus_endpoint_requests_in_flight", _ENDPOINT, "Attempts that the endpoint is answering now."),
    _gauge("serinus_endpoint_connections", _ENDPOINT, "Open connections to the endpoint, idle ones included."),
    _counter("serinus_endpoint_connects_total", _ENDPOINT, "Connections that were opened to the endpoint."),
    # The split.
    _gauge("serinus_split_target_ratio", _VERSION, "The share of the version by its weight."),
    _gauge(
        "serinus_split_actual_ratio",
        _VERSION,
        "The share of the version of the requests that the split dealt in the last minute; absent without any.",
    ),
    _counter("serinus_split_decisions_total", _VERSION, "Requests that the split dealt to the version, not forced."),
    # Who leads.
    _gauge(
        "serinus_lease_remaining_seconds",
        ("service",),
        "Until the lease of the service runs out, 0 once it has; absent without one.",
    ),
    _counter("serinus_leases_run_out_total", ("service", "done"), "Leases that ran out: held, or rolled back."),
    # The proxy itself.
    _gauge("serinus_connections", ("side",), "Open connections, by side: client or upstream."),
    _counter("serinus_connections_accepted_total", (), "Connections of clients that were accepted."),
    _counter("serinus_connections_refused_total", (), "Connections of clients that were closed at once, over a limit."),
    _counter("serinus_tls_handshakes_total", ("result",), "TLS handshakes of clients: ok, or failed."),
    _counter("serinus_proxy_protocol_refused_total", (), "Connections without the PROXY header that has to be there."),
    _gauge("serinus_tls_certs_not_after_timestamp_seconds", ("cn",), "When a certificate ends, by its first name."),
    _gauge("serinus_tunnels", (), "Open connections that were upgraded, to WebSocket for example."),
    _counter("serinus_access_log_dropped_total", (), "Lines of the access log that could not be written in time."),
    _gauge("serinus_workers", ("state",), "Worker processes by state."),
    _counter("serinus_worker_restarts_total", (), "Workers that were started in place of one that had ended."),
    _gauge("serinus_generation", (), "The number of the live state, which every change raises."),
    _counter("serinus_config_reloads_total", ("result",), "Times the file was read again: ok, or failed."),
    _gauge("serinus_config_last_reload_successful", (), "0 when the file could not be used the last time, else 1."),
    _counter(
        "serinus_handovers_total",
        ("result",),
        "Times this proxy took over from one before (ok), or a next one did not take over from it (failed).",
    ),
    _gauge("serinus_last_handover_successful", (), "0 when the next version did not take over the last time, else 1."),
    _gauge("serinus_draining", (), "1 while the proxy is stopping, else 0."),
    _gauge("serinus_build_info", ("version", "python"), "Always 1; the versions are in the labels."),
)


class Supervisor(Protocol):
    """What this needs of the supervisor."""

    @property
    def material(self) -> Material:
        """What TLS is made of."""

    @property
    def live(self) -> Live:
        """The services, versions and endpoints of now."""

    @property
    def slots(self) -> Slots:
        """Where they are counted."""

    @property
    def slabs(self) -> Sequence[Slab]:
        """The counters of each worker."""

    @property
    def worker_states(self) -> Sequence[WorkerState]:
        """Every worker as it is now."""

    @property
    def leases(self) -> Leases:
        """Who leads which service."""

    @property
    def draining(self) -> bool:
        """Whether the proxy is stopping."""

    @property
    def succession(self) -> Succession:
        """Whom it follows, and who follows it."""

    @property
    def reloads(self) -> Mapping[str, int]:
        """How often the file was read again, by result."""

    @property
    def last_reload_failed(self) -> bool:
        """Whether it could not be used the last time."""

    def health_of(self, service: str, version: str, address: str) -> EndpointHealth:
        """What is known of an endpoint."""


class Observations(Protocol):
    """What every version did lately."""

    def actual_shares(self, service: str) -> dict[str, float]:
        """How the split dealt the requests of the last minute."""


class _Page:
    """One scrape in the making: the families of the table, filled by name."""

    def __init__(self, buckets: Sequence[float]) -> None:
        self._families: dict[str, Metric] = {family.name: _empty(family) for family in FAMILIES}
        self._buckets = buckets
        self._bounds = [*map(floatToGoString, buckets), "+Inf"]

    def add(self, name: str, labels: Sequence[str], value: float) -> None:
        family = self._families[name]
        assert isinstance(family, CounterMetricFamily | GaugeMetricFamily)
        family.add_metric(labels, value)

    def add_histogram(self, name: str, labels: Sequence[str], bins: Mapping[int, int], total: float) -> None:
        family = self._families[name]
        assert isinstance(family, HistogramMetricFamily)
        family.add_metric(labels, list(zip(self._bounds, coarsen(bins, self._buckets), strict=True)), total)

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())


class SerinusCollector(Collector):
    """Gives a prometheus_client registry everything in FAMILIES."""

    def __init__(self, supervisor: Supervisor, observations: Observations) -> None:
        self._supervisor = supervisor
        self._observations = observations

    def describe(self) -> Iterable[Metric]:
        """The families without their samples."""
        return [_empty(family) for family in FAMILIES]

    def collect(self) -> Iterable[Metric]:
        """All families, in the order of the table."""
        live = self._supervisor.live
        page = _Page(live.config.metrics.buckets)
        self._add_totals(page, ("", ""), self._read_version(0))
        connections = 0
        for name, service in live.services.items():
            self._add_split(page, name, service)
            self._add_lease(page, name, service)
            for version_name, endpoints in service.versions.items():
                place = name, version_name
                slot = self._supervisor.slots.versions.find(place)
                if slot is not None:
                    self._add_version(page, place, self._read_version(slot))
                connections += sum(self._add_endpoint(page, place, endpoint) for endpoint in endpoints)
        self._add_workers(page, connections)
        self._add_proxy(page, live)
        return page

    def _read_version(self, slot: int) -> list[VersionTotals]:
        return [slab.read_version(slot) for slab in self._supervisor.slabs]

    def _add_totals(self, page: _Page, place: tuple[str, str], workers: list[VersionTotals]) -> None:
        """What clients got."""
        for status, count in sorted(added(worker["requests"] for worker in workers).items()):
            page.add("serinus_requests_total", (*place, str(status)), count)
        for reason, count in sorted(added(worker["reasons"] for worker in workers).items()):
            page.add("serinus_errors_total", (*place, Reason(reason).label), count)
        duration = sum(worker["duration_ns"] for worker in workers) / 1e9
        bins = added(worker["bins"] for worker in workers)
        page.add_histogram("serinus_request_duration_seconds", place, bins, duration)

    def _add_version(self, page: _Page, place: tuple[str, str], workers: list[VersionTotals]) -> None:
        self._add_totals(page, place, workers)
        page.add("serinus_requests_in_flight", place, sum(worker["in_flight"] for worker in workers))
        page.add("serinus_request_bytes_total", place, sum(worker["bytes_in"] for worker in workers))
        page.add("serinus_response_bytes_total", place, sum(worker["bytes_out"] for worker in workers))
        page.add("serinus_retries_total", place, sum(worker["retries"] for worker in workers))
        page.add("serinus_split_decisions_total", place, sum(worker["chosen"] for worker in workers))
        unavailable = sum(worker["unavailable"] for worker in workers)
        page.add("serinus_attempts_total", (*place, "", Outcome.UNAVAILABLE.label), unavailable)

    def _add_split(self, page: _Page, name: str, service: LiveService) -> None:
        for version_name, share in service.shares.items():
            page.add("serinus_split_target_ratio", (name, version_name), share)
        for version_name, share in self._observations.actual_shares(name).items():
            page.add("serinus_split_actual_ratio", (name, version_name), share)

    def _add_lease(self, page: _Page, name: str, service: LiveService) -> None:
        if service.lease is not None:
            page.add("serinus_lease_remaining_seconds", (name,), self._supervisor.leases.remaining(name) or 0.0)
        for done in get_args(Done):
            page.add("serinus_leases_run_out_total", (name, done), self._supervisor.leases.ran_out[name, done])

    def _add_endpoint(self, page: _Page, place: tuple[str, str], endpoint: LiveEndpoint) -> int:
        """One endpoint; returns the number of its connections."""
        labels = (*place, endpoint.address)
        health = self._supervisor.health_of(*labels)
        is_up = endpoint.state == "up" and health.healthy and bool(health.sockets)
        page.add("serinus_endpoint_up", labels, is_up)
        slot = self._supervisor.slots.endpoints.find(labels)
        if slot is None:
            return 0
        workers = [slab.read_endpoint(slot) for slab in self._supervisor.slabs]
        for outcome in _AT_ENDPOINTS:
            count = sum(worker["outcomes"][outcome] for worker in workers)
            page.add("serinus_attempts_total", (*labels, outcome.label), count)
        connections = sum(worker["connections"] for worker in workers)
        page.add("serinus_endpoint_ejected", labels, sum(worker["ejected"] for worker in workers))
        page.add("serinus_endpoint_ejections_total", labels, sum(worker["ejections"] for worker in workers))
        page.add("serinus_endpoint_requests_in_flight", labels, sum(worker["in_flight"] for worker in workers))
        page.add("serinus_endpoint_connections", labels, connections)
        page.add("serinus_endpoint_connects_total", labels, sum(worker["connects"] for worker in workers))
        return connections

    def _add_workers(self, page: _Page, upstream_connections: int) -> None:
        workers = [slab.read_worker() for slab in self._supervisor.slabs]
        page.add("serinus_connections", ("client",), sum(worker["connections"] for worker in workers))
        page.add("serinus_connections", ("upstream",), upstream_connections)
        page.add("serinus_connections_accepted_total", (), sum(worker["accepted"] for worker in workers))
        page.add("serinus_connections_refused_total", (), sum(worker["refused"] for worker in workers))
        page.add("serinus_tls_handshakes_total", ("ok",), sum(worker["tls_handshakes"] for worker in workers))
        page.add("serinus_tls_handshakes_total", ("failed",), sum(worker["tls_failures"] for worker in workers))
        page.add("serinus_proxy_protocol_refused_total", (), sum(worker["unintroduced"] for worker in workers))
        for certificate in self._supervisor.material.certificates:
            cn = certificate.names[0] if certificate.names else ""
            page.add("serinus_tls_certs_not_after_timestamp_seconds", (cn,), certificate.not_after)
        page.add("serinus_tunnels", (), sum(worker["tunnels"] for worker in workers))
        page.add("serinus_access_log_dropped_total", (), sum(worker["log_dropped"] for worker in workers))
        states = Counter(worker.state for worker in self._supervisor.worker_states)
        for state in _WORKER_STATES:
            page.add("serinus_workers", (state,), states[state])
        restarts = sum(worker.restarts for worker in self._supervisor.worker_states)
        page.add("serinus_worker_restarts_total", (), restarts)

    def _add_proxy(self, page: _Page, live: Live) -> None:
        page.add("serinus_generation", (), live.generation)
        for result, count in self._supervisor.reloads.items():
            page.add("serinus_config_reloads_total", (result,), count)
        page.add("serinus_config_last_reload_successful", (), not self._supervisor.last_reload_failed)
        succession = self._supervisor.succession
        page.add("serinus_handovers_total", ("ok",), succession.predecessor != 0)
        page.add("serinus_handovers_total", ("failed",), succession.failures)
        page.add("serinus_last_handover_successful", (), succession.last_failure is None)
        page.add("serinus_draining", (), self._supervisor.draining)
        page.add("serinus_build_info", (_version_of_serinus(), platform.python_version()), 1)


def _empty(family: Family) -> Metric:
    match family.kind:
        case "counter":
            return CounterMetricFamily(family.name, family.help, labels=family.labels)
        case "gauge":
            return GaugeMetricFamily(family.name, family.help, labels=family.labels)
        case "histogram":
            return HistogramMetricFamily(family.name, family.help, labels=family.labels)


@cache
def _version_of_serinus() -> str:
    try:
        return version("serinus")
    except PackageNotFoundError:
        return "unknown"
