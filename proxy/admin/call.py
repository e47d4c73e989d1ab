"""One row of the table of calls, and what a view gets of a request.

Owns the way from a row to an aiohttp route. Must not know any call in particular.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from proxy.admin.asking import read_body, read_query
from proxy.admin.models import Closed, Nothing
from proxy.admin.ports import Observations, Supervisor
from proxy.core.live import Problem

B = TypeVar("B", bound=Closed)
Q = TypeVar("Q", bound=Closed)

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

Render = Callable[[str], tuple[bytes, str]]
"""From an Accept header to the metrics and their content type."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """The parts of the proxy that the views ask."""

    supervisor: Supervisor
    observations: Observations
    metrics: Render
    #: Set when the server goes away, so that endless answers end.
    closing: asyncio.Event
    ping_seconds: float
    openapi: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked(Generic[B, Q]):
    """One request, read."""

    proxy: Proxy
    request: web.Request
    query: Q
    body: B
    #: What is wrong with the body although it can be used; whoever takes a step adds to it and refuses.
    problems: tuple[Problem, ...] = ()

    @property
    def service(self) -> str:
        """The `{service}` of the path."""
        return self.request.match_info["service"]

    @property
    def version(self) -> str:
        """The `{version}` of the path."""
        return self.request.match_info["version"]

    @property
    def address(self) -> str:
        """The `{address}` of the path, decoded."""
        return self.request.match_info["address"]


# A call that says nothing of its query and body takes none.
_NOTHING: Final[Any] = Nothing


@dataclass(frozen=True, slots=True)
class Call(Generic[B, Q]):
    """One thing that can be asked; the route and its part of the OpenAPI document both come from here."""

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    view: Callable[[Asked[B, Q]], Awaitable[web.StreamResponse]]
    summary: str
    _: KW_ONLY
    query: type[Q] = _NOTHING
    body: type[B] = _NOTHING
    answer: type[BaseModel] | None = None
    media_type: str = JSON
    errors: tuple[int, ...] = ()  # of its own, beside those that every call has
    has_tag: bool = False  # answers with an ETag
    is_revalidated: bool = False  # heeds If-None-Match
    is_open: bool = False  # needs no token

    @property
    def changes(self) -> bool:
        """Whether it may change something; a GET never does."""
        return self.method != "GET"

    @property
    def name(self) -> str:
        """The name of the operation, in the OpenAPI document too."""
        return self.view.__name__

    def as_view(self, proxy: Proxy) -> Handler:
        """What aiohttp calls."""

        async def view(request: web.Request) -> web.StreamResponse:
            query = read_query(request, self.query)
            body, problems = await read_body(request, self.body)
            return await self.view(Asked(proxy, request, query, body, problems))

        return view


def answer(content: BaseModel | Mapping[str, object], generation: int | None = None) -> web.Response:
    """A JSON answer; its ETag is the generation that it shows."""
    plain = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    headers = {} if generation is None else {"ETag": f'"{generation}"'}
    return web.Response(text=json.dumps(plain, allow_nan=False), content_type=JSON, headers=headers)
