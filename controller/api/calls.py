"""The table of everything that can be asked of the controller.

The routes and the OpenAPI document are both made from it, so that neither can have a call that the other has not.
"""

from __future__ import annotations

from typing import Any, Final

from controller.api import history, models, plan, stream, views
from controller.api.plan_view import PlanQuery, PlanView
from webapi.call import Call

_ROLLOUTS: Final = "/v1/rollouts"
_ROLLOUT: Final = f"{_ROLLOUTS}/{{id}}"
_OF_ORDERS: Final = (404, 408, 409, 413, 415, 503)

TITLE: Final = "Serinus: API of the controller"
PLACES: Final = {"id": "The id of a rollout"}
"""The names in the paths."""


def _order(verb: str, view: Any, summary: str, body: type[models.Closed] = models.OrderBody) -> Call[Any]:
    return Call("POST", f"{_ROLLOUT}/{verb}", view, summary, models.RolloutView, body, _OF_ORDERS, role="operate")


CALLS: Final[tuple[Call[Any], ...]] = (
    Call("GET", "/healthz", views.get_healthz, "Whether the controller acts", models.HealthView, is_open=True),
    Call("GET", "/metrics", views.get_metrics, "Prometheus or OpenMetrics text, by Accept", media_type="text/plain"),
    Call("GET", _ROLLOUTS, views.get_rollouts, "All rollouts", models.RolloutsView),
    Call(
        *("POST", _ROLLOUTS, views.post_rollout, "Start a rollout", models.RolloutView, models.StartBody),
        errors=_OF_ORDERS,
        status=201,
        role="operate",
    ),
    Call("GET", _ROLLOUT, views.get_rollout, "One rollout", models.RolloutView, errors=(404,)),
    Call("GET", f"{_ROLLOUT}/why", views.get_why, "Why it is where it is", models.WhyView, errors=(404,)),
    Call("GET", f"{_ROLLOUT}/series", history.get_series, "What both versions did", models.SeriesView, errors=(404,)),
    Call(
        *("GET", f"{_ROLLOUT}/report", history.get_report, "The report, one HTML page that needs nothing else"),
        errors=(404,),
        media_type="text/html",
    ),
    _order("promote", views.post_promote, "Go on without waiting", models.PromoteBody),
    _order("pause", views.post_pause, "Stay at this weight"),
    _order("resume", views.post_resume, "Go on"),
    _order("abort", views.post_abort, "Roll back; in every phase, and however often"),
    _order("retry", views.post_retry, "Begin anew after a rollback"),
    Call(
        *("GET", "/v1/plan", plan.get_plan, "What a rollout can see with the traffic of now", PlanView),
        query=PlanQuery,
        errors=(404, 503),
    ),
    Call(
        *("POST", "/v1/signals", views.post_signal, "Say that something is wrong, or is not any more"),
        *(models.RolloutsView, models.SignalBody, _OF_ORDERS),
        role="operate",
    ),
    Call("GET", "/v1/line", views.get_line, "Whether anything may move forward", models.LineView),
    Call(
        *("PUT", "/v1/line", views.put_line, "Stop everything from moving forward, or let it go on"),
        *(models.LineView, models.LineBody, (408, 413, 415, 503)),
        role="admin",
    ),
    Call(
        *("GET", "/v1/events", stream.get_events, "Everything that happens, as server-sent events"),
        *(models.DecisionView,),
        media_type="text/event-stream",
    ),
    Call("GET", "/openapi.json", views.get_openapi, "This document"),
)
