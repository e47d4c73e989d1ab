"""The aiohttp application of the controller's API.

Owns what the parts are given, and which status the refusals of the conductor have. Must not listen: `controller.app`
does.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web
from prometheus_client.registry import CollectorRegistry

from config.admin import Admin
from config.problems import Problem
from controller.api.calls import CALLS, PLACES, TITLE
from controller.api.views import Asked, Parts
from controller.conductor import Conductor, Impossible, NotFound, Unready
from controller.core.orders import Refused
from webapi import app as webapp
from webapi.gate import Gate, require_token
from webapi.openapi import document
from webapi.problem import Denied

MAX_BODY: Final = 64 * 1024


def create_app(
    conductor: Conductor, registry: CollectorRegistry, *, ping_seconds: float = webapp.PING_SECONDS
) -> web.Application:
    """The application. It has to be served at the `controller.address` of the conductor's configuration.

    Raises:
        ValueError: that address is not local and there is no token.
    """

    def settings() -> Admin:
        return conductor.config.controller

    require_token(settings(), "controller")
    closing = asyncio.Event()
    parts = Parts(conductor, webapp.renderer(registry), openapi(), closing, ping_seconds)

    def ask(request: web.Request, query: Any, body: Any, problems: tuple[Problem, ...], /) -> Asked[Any]:
        if problems:
            raise Denied(422, "The request cannot be used", problems)
        return Asked(parts, request, body, query)

    app = webapp.create_app(
        CALLS,
        ask,
        gate=Gate(settings().address),
        settings=settings,
        translate=_denied,
        whose="the controller",
        max_body=MAX_BODY,
    )
    webapp.on_shutdown(app, closing.set)
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    return document(TITLE, CALLS, PLACES)


def _denied(exc: Exception) -> Denied | None:
    match exc:
        case NotFound():
            return Denied(404, str(exc), (Problem("", str(exc), suggestion=exc.suggestion),))
        case Impossible():
            return Denied(422, str(exc), exc.problems)
        case Unready():
            return Denied(503, str(exc))
        case Refused():
            return Denied(409, str(exc))
        case _:
            return None
