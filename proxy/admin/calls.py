"""The table of everything that can be asked of the admin API.

The routes and the OpenAPI document are both made from it, so that neither can have a call that the other has not.
"""

from __future__ import annotations

from typing import Any, Final

from proxy.admin import changing, leasing, probing, reading, watching
from proxy.admin.models import (
    ActiveBody,
    ChangeBody,
    ChangeQuery,
    ConfigDiffView,
    ConfigView,
    EndpointBody,
    EndpointStateBody,
    EventView,
    HandoverView,
    HealthView,
    LeaseBody,
    LeaseEndQuery,
    LeaseView,
    ReloadView,
    RemovalQuery,
    ServicesView,
    ServiceView,
    SplitBody,
    StateView,
    StatsQuery,
    StatsView,
)
from webapi.call import Call

_SERVICE: Final = "/v1/services/{service}"
_ENDPOINTS: Final = f"{_SERVICE}/versions/{{version}}/endpoints"
_ENDPOINT: Final = f"{_ENDPOINTS}/{{address}}"

_OF_CHANGES: Final = (404, 409, 412, 503, 507)
_OF_BODIES: Final = (408, 413, 415)

TITLE: Final = "Serinus: admin API of the proxy"
PLACES: Final = {
    "service": "The name of a service",
    "version": "The name of a version",
    "address": "The address of an endpoint, percent-encoded: 127.0.0.1%3A9001, unix:%2Frun%2Fapp.sock",
}
"""The names in the paths."""

CALLS: Final[tuple[Call[Any], ...]] = (
    Call("GET", "/healthz", probing.get_healthz, "Whether the process answers", answer=HealthView, is_open=True),
    Call(
        "GET",
        "/readyz",
        probing.get_readyz,
        "Whether it listens, with at least one usable endpoint",
        answer=HealthView,
        errors=(503,),
        is_open=True,
    ),
    Call("GET", "/metrics", probing.get_metrics, "Prometheus or OpenMetrics text, by Accept", media_type="text/plain"),
    Call("GET", "/v1/state", reading.get_state, "The live state", answer=StateView, has_tag=True, is_revalidated=True),
    Call("GET", "/v1/services", reading.get_services, "All services", answer=ServicesView, has_tag=True),
    Call("GET", _SERVICE, reading.get_service, "One service", answer=ServiceView, errors=(404,), has_tag=True),
    Call(
        "PUT",
        f"{_SERVICE}/split",
        changing.put_split,
        "Set the weights of the versions",
        query=ChangeQuery,
        is_conditional=True,
        body=SplitBody,
        answer=ServiceView,
        errors=_OF_CHANGES + _OF_BODIES,
        has_tag=True,
        role="operate",
    ),
    Call(
        "PUT",
        f"{_SERVICE}/active",
        changing.put_active,
        "Give one version everything (pool mode)",
        query=ChangeQuery,
        is_conditional=True,
        body=ActiveBody,
        answer=ServiceView,
        errors=_OF_CHANGES + _OF_BODIES,
        has_tag=True,
        role="operate",
    ),
    Call(
        "GET",
        f"{_SERVICE}/lease",
        leasing.get_lease,
        "Who leads the service, and what follows when nothing more is heard of them",
        answer=LeaseView,
        errors=(404,),
        has_tag=True,
    ),
    Call(
        "PUT",
        f"{_SERVICE}/lease",
        leasing.put_lease,
        "Make a lease, or renew it: the same terms again change nothing but its time",
        query=ChangeQuery,
        body=LeaseBody,
        answer=ServiceView,
        errors=_OF_CHANGES + _OF_BODIES,
        is_conditional=True,
        has_tag=True,
        role="admin",
    ),
    Call(
        "DELETE",
        f"{_SERVICE}/lease",
        leasing.delete_lease,
        "End a lease",
        query=LeaseEndQuery,
        answer=ServiceView,
        errors=_OF_CHANGES,
        is_conditional=True,
        has_tag=True,
        role="admin",
    ),
    Call(
        "POST",
        _ENDPOINTS,
        changing.post_endpoint,
        "Add an endpoint",
        query=ChangeQuery,
        is_conditional=True,
        body=EndpointBody,
        answer=ServiceView,
        errors=_OF_CHANGES + _OF_BODIES,
        has_tag=True,
        role="operate",
    ),
    Call(
        "PUT",
        f"{_ENDPOINT}/state",
        changing.put_endpoint_state,
        "Take an endpoint in or out: up, drain, down",
        query=ChangeQuery,
        is_conditional=True,
        body=EndpointStateBody,
        answer=ServiceView,
        errors=_OF_CHANGES + _OF_BODIES,
        has_tag=True,
        role="operate",
    ),
    Call(
        "DELETE",
        _ENDPOINT,
        changing.delete_endpoint,
        "Remove an idle endpoint",
        query=RemovalQuery,
        is_conditional=True,
        answer=ServiceView,
        errors=_OF_CHANGES,
        has_tag=True,
        role="operate",
        roles_of_options={"force": "admin"},
    ),
    Call("GET", "/v1/config", reading.get_config, "The configuration in force", answer=ConfigView, has_tag=True),
    Call(
        "GET",
        "/v1/config/diff",
        reading.get_config_diff,
        "What is live beside what the file says",
        answer=ConfigDiffView,
        has_tag=True,
    ),
    Call(
        "POST",
        "/v1/reload",
        changing.post_reload,
        "Read the file again",
        body=ChangeBody,
        answer=ReloadView,
        errors=(503, 507, *_OF_BODIES),
        has_tag=True,
        role="admin",
    ),
    Call(
        "GET",
        "/v1/handover",
        reading.get_handover,
        "Whom this proxy took over from, who takes over from it, and why that failed the last time",
        answer=HandoverView,
    ),
    Call(
        "GET",
        "/v1/stats",
        reading.get_stats,
        "Requests, errors and latencies by version and second",
        query=StatsQuery,
        answer=StatsView,
        errors=(404,),
    ),
    Call(
        "GET",
        "/v1/events",
        watching.get_events,
        "Everything that happens, as server-sent events",
        answer=EventView,
        media_type="text/event-stream",
    ),
    Call("GET", "/openapi.json", probing.get_openapi, "This document"),
)
