"""One row of a table of calls, and the answer in JSON that most of them give.

Owns what can be said of a call. Must not know any call in particular.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel

from config.admin import ROLES, Role
from webapi.shapes import Closed, Nothing

A = TypeVar("A")

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One thing that can be asked; the route and its part of the OpenAPI document both come from here.

    `A` is what a view gets: the request with its query and body, read.
    """

    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    view: Callable[[A], Awaitable[web.StreamResponse]]
    summary: str
    answer: type[BaseModel] | None = None
    body: type[Closed] = Nothing
    errors: tuple[int, ...] = ()  # of its own, beside those that every call has
    _: KW_ONLY
    query: type[Closed] = Nothing
    status: int = 200
    media_type: str = JSON
    is_conditional: bool = False  # heeds If-Match
    has_tag: bool = False  # answers with an ETag
    is_revalidated: bool = False  # heeds If-None-Match
    is_open: bool = False  # needs no token
    role: Role | None = None  # of whoever may ask; a GET that says nothing is for everybody
    roles_of_options: Mapping[str, Role] = field(default_factory=dict)  # what a true option of the query needs more

    @property
    def changes(self) -> bool:
        """Whether it may change something; a GET never does."""
        return self.method != "GET"

    @property
    def needed(self) -> Role:
        """The role that a caller needs: nothing is changed by mistake because a row says nothing."""
        return self.role or ("admin" if self.changes else "read")

    def needed_with(self, query: Closed) -> Role:
        """The role that a caller needs with the options that it has set."""
        options = [role for option, role in self.roles_of_options.items() if getattr(query, option)]
        return max([self.needed, *options], key=ROLES.index)

    @property
    def name(self) -> str:
        """The name of the operation, in the OpenAPI document too."""
        return self.view.__name__


def answer(content: BaseModel | Mapping[str, Any], generation: int | None = None, *, status: int = 200) -> web.Response:
    """A JSON answer; its ETag is the generation that it shows."""
    text = content.model_dump_json(by_alias=True) if isinstance(content, BaseModel) else json.dumps(content)
    headers = {} if generation is None else {"ETag": f'"{generation}"'}
    return web.Response(status=status, text=text, content_type=JSON, headers=headers)
