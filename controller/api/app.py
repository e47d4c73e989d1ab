"""The aiohttp application of the controller's API, assembled from the table of calls.

Owns the order in which a request meets the parts. Must not listen: `controller.app` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from controller.api.asking import MAX_BODY, check_access, read_body
from controller.api.calls import CALLS, Call
from controller.api.openapi import document
from controller.api.problem import answer_problems
from controller.api.views import Asked, Parts
from controller.conductor import Conductor

PING_SECONDS: Final = 15.0


def create_app(
    conductor: Conductor, registry: CollectorRegistry, *, ping_seconds: float = PING_SECONDS
) -> web.Application:
    """The application. It has to be served at the `controller.address` of the conductor's configuration."""
    closing = asyncio.Event()
    app = web.Application(middlewares=[answer_problems, _guard(conductor)], client_max_size=MAX_BODY)
    app.on_response_prepare.append(_add_common_fields)

    async def close(_: web.Application) -> None:
        closing.set()

    app.on_shutdown.append(close)
    parts = Parts(conductor, _renderer(registry), document(CALLS), closing, ping_seconds)
    for call in CALLS:
        app.router.add_route(call.method, call.path, _as_view(call, parts))
    return app


def _as_view(call: Call, parts: Parts) -> Handler:
    async def view(request: web.Request) -> web.StreamResponse:
        return await call.view(Asked(parts, request, await read_body(request, call.body)))

    return view


def _guard(conductor: Conductor) -> Middleware:
    """The middleware that lets a request in."""
    open_paths = frozenset(call.path for call in CALLS if call.is_open)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        check_access(request, conductor.config.controller, is_open=request.path in open_paths)
        return await handler(request)

    return guard


def _renderer(registry: CollectorRegistry) -> Callable[[str], tuple[bytes, str]]:
    """How metrics are rendered: the format that Accept asks for, with its content type."""

    def render(accept: str) -> tuple[bytes, str]:
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # a version such as 1.x, whose parts cannot be compared
            encode, content_type = choose_encoder("")
        return encode(registry), content_type

    return render


async def _add_common_fields(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "serinus"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
