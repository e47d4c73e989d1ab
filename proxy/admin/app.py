"""The aiohttp application of the admin API, assembled from the table of calls.

Owns the order in which a request meets the parts. Must not listen: `proxy.app` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from proxy.admin.asking import MAX_BODY
from proxy.admin.call import EVENT_STREAM, Call, Proxy
from proxy.admin.calls import CALLS
from proxy.admin.gate import Gate, require_token
from proxy.admin.openapi import document
from proxy.admin.ports import Observations, Supervisor
from proxy.admin.problem import answer_expect, answer_problems

PING_SECONDS: Final = 15.0


def create_app(
    supervisor: Supervisor,
    observations: Observations,
    registry: CollectorRegistry,
    *,
    ping_seconds: float = PING_SECONDS,
) -> web.Application:
    """The application. It has to be served at the `admin.address` that the supervisor's configuration has now.

    Raises:
        ValueError: that address is not local and there is no token.
    """
    admin = supervisor.live.config.admin
    require_token(admin)
    closing = asyncio.Event()
    guard = _guard(supervisor, Gate(admin.address))
    app = web.Application(middlewares=[answer_problems, guard], client_max_size=MAX_BODY)
    app.on_response_prepare.append(_add_common_fields)
    app.on_shutdown.append(_setter(closing))
    proxy = Proxy(supervisor, observations, _renderer(registry), closing, ping_seconds, document(CALLS))
    for call in CALLS:
        app.router.add_route(call.method, _pattern(call), call.as_view(proxy), expect_handler=answer_expect)
        if call.method == "GET" and call.media_type != EVENT_STREAM:
            app.router.add_route("HEAD", _pattern(call), call.as_view(proxy), expect_handler=answer_expect)
    return app


def _pattern(call: Call[Any, Any]) -> str:
    """The path for aiohttp: an address may hold braces, which a plain {name} does not match."""
    return call.path.replace("{address}", "{address:[^/]+}")


def _guard(supervisor: Supervisor, gate: Gate) -> Middleware:
    """The middleware that lets a request in; a reload may have changed the token."""
    open_paths = frozenset(call.path for call in CALLS if call.is_open)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        gate.check(request, supervisor.live.config.admin, is_open=request.path in open_paths)
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


def _setter(event: asyncio.Event) -> Callable[[web.Application], Awaitable[None]]:
    async def set_event(_: web.Application) -> None:
        event.set()

    return set_event


async def _add_common_fields(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "serinus"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
