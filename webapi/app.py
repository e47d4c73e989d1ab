"""An aiohttp application, assembled from a table of calls.

Owns the order in which a request meets the parts, and the fields that every answer has. Must not listen.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from config.admin import Admin
from config.problems import Problem
from webapi.asking import check_reason, read_body, read_query
from webapi.call import EVENT_STREAM, Call
from webapi.gate import Gate, check_role
from webapi.problem import Denied, answer_expect, problems_answered

A_co = TypeVar("A_co", covariant=True)

PING_SECONDS: Final = 15.0
"""Silence on a stream of events after which it carries a comment."""

Render = Callable[[str], tuple[bytes, str]]
"""From an Accept header to the metrics and their content type."""


class Ask(Protocol[A_co]):
    """Makes of a request, its query, its body and what is wrong with the body what a view gets."""

    def __call__(self, request: web.Request, query: Any, body: Any, problems: tuple[Problem, ...], /) -> A_co:
        """Read the rest of the request, if there is more. Raises Denied."""


def create_app(
    calls: Iterable[Call[Any]],
    ask: Ask[Any],
    *,
    gate: Gate,
    settings: Callable[[], Admin],
    translate: Callable[[Exception], Denied | None],
    whose: str,
    max_body: int,
) -> web.Application:
    """The application. `settings` are those of now: a reload may have changed the token.

    `translate` makes a refusal of the exceptions that views raise, and `whose` ("the proxy") names who failed when
    there is none.
    """
    calls = tuple(calls)
    middlewares = [problems_answered(translate, whose, max_body), _guard(calls, gate, settings)]
    app = web.Application(middlewares=middlewares, client_max_size=max_body)
    app.on_response_prepare.append(_add_common_fields)
    for call in calls:
        view = _as_view(call, ask, settings, max_body)
        app.router.add_route(call.method, _pattern(call), view, expect_handler=answer_expect)
        if call.method == "GET" and call.media_type != EVENT_STREAM:
            app.router.add_route("HEAD", _pattern(call), view, expect_handler=answer_expect)
    return app


def renderer(registry: CollectorRegistry) -> Render:
    """How metrics are rendered: the format that Accept asks for, with its content type."""

    def render(accept: str) -> tuple[bytes, str]:
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # a version such as 1.x, whose parts cannot be compared
            encode, content_type = choose_encoder("")
        return encode(registry), content_type

    return render


def on_shutdown(app: web.Application, end: Callable[[], None]) -> None:
    """Call `end` when the server goes away, before it waits for the answers that are under way."""

    async def call(_: web.Application) -> None:
        end()

    app.on_shutdown.append(call)


def _as_view(call: Call[Any], ask: Ask[Any], settings: Callable[[], Admin], max_body: int) -> Handler:
    view: Callable[[Any], Awaitable[web.StreamResponse]] = call.view

    async def serve(request: web.Request) -> web.StreamResponse:
        check_role(request, call.name, call.needed)
        query = read_query(request, call.query)
        check_role(request, call.name, call.needed_with(query))
        body, problems = await read_body(request, call.body, max_body)
        if settings().require_reason:
            check_reason(call, query, body)
        return await view(ask(request, query, body, problems))

    return serve


def _pattern(call: Call[Any]) -> str:
    """The path for aiohttp: an address may hold braces, which a plain {name} does not match."""
    return call.path.replace("{address}", "{address:[^/]+}")


def _guard(calls: tuple[Call[Any], ...], gate: Gate, settings: Callable[[], Admin]) -> Middleware:
    """The middleware that lets a request in."""
    open_paths = frozenset(call.path for call in calls if call.is_open)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        gate.check(request, settings(), is_open=request.path in open_paths)
        return await handler(request)

    return guard


async def _add_common_fields(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "serinus"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
