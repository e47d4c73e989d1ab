"""A small API of its own, made of everything that `webapi` offers, for its tests: trees, and the apples on them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pydantic import ConfigDict, Field

from config.admin import Admin
from config.problems import Problem
from tests.support.asking import Asking
from webapi.app import create_app
from webapi.asking import read_who
from webapi.call import Call, answer
from webapi.events import EventWriter, last_event_id
from webapi.gate import Gate
from webapi.openapi import document
from webapi.problem import Denied
from webapi.shapes import Closed, Reason

MAX_BODY = 128 * 1024


class Rotten(Exception):
    """What the orchard itself raises."""


class Picking(Closed):
    """How many apples are picked."""

    apples: int
    from_: str = Field(default="top", alias="from")
    reason: Reason = ""


class Watering(Closed):
    """Everything in it has a default."""

    litres: int = 1


class Found(Closed):
    """What is on a tree."""

    tree: str
    apples: int
    by: str
    problems: list[str]


class Felling(Closed):
    """How a tree is felled."""

    model_config = ConfigDict(strict=False)

    force: bool = False
    """Also with apples on it."""


class Asked:
    """One request, read."""

    def __init__(self, request: web.Request, query: Any, body: Any, problems: tuple[Problem, ...]) -> None:
        self.request, self.query, self.body, self.problems = request, query, body, problems

    def found(self, apples: int) -> web.Response:
        paths = [problem.path for problem in self.problems]
        tree = self.request.match_info["tree"]
        return answer(Found(tree=tree, apples=apples, by=str(read_who(self.request, "somebody")), problems=paths))


async def get_tree(asked: Asked) -> web.Response:
    return asked.found(7)


async def put_apples(asked: Asked) -> web.Response:
    if asked.body.apples == 13:
        raise RuntimeError("the secret is 1234")
    if asked.body.apples == 99:
        raise Rotten("99 apples are too many")
    return asked.found(asked.body.apples)


async def post_water(asked: Asked) -> web.Response:
    return asked.found(asked.body.litres)


async def delete_tree(asked: Asked) -> web.Response:
    return asked.found(0)


async def post_graft(asked: Asked) -> web.Response:
    return asked.found(1)


async def get_falling(asked: Asked) -> web.StreamResponse:
    writer, number = EventWriter(asked.request), (last_event_id(asked.request) or 0) + 1
    await writer.prepare()
    await writer.ping()
    await writer.write(number, "fell", {"apple": "one\ntwo"})
    return writer.response


async def get_sky(asked: Asked) -> web.Response:
    return answer({"sky": "blue"})


_TREE = "/trees/{tree}"
CALLS: tuple[Call[Any], ...] = (
    Call("GET", "/sky", get_sky, "The sky", is_open=True),
    Call("GET", _TREE, get_tree, "A tree", Found),
    Call("PUT", f"{_TREE}/apples", put_apples, "Pick", Found, Picking, (408, 409, 413, 415), role="operate"),
    Call("POST", f"{_TREE}/water", post_water, "Water", Found, Watering, (408, 413, 415), role="operate"),
    Call(
        *("DELETE", _TREE, delete_tree, "Fell", Found),
        query=Felling,
        role="operate",
        roles_of_options={"force": "admin"},
    ),
    Call("POST", f"{_TREE}/graft", post_graft, "Graft; the row says no role", Found),
    Call("GET", "/falling", get_falling, "What falls", Found, media_type="text/event-stream"),
)
DOCUMENT = document("Orchard", CALLS, {"tree": "The name of a tree"})


def _denied(exc: Exception) -> Denied | None:
    return Denied(409, str(exc), headers={"X-Worm": "yes"}, members={"worms": 1}) if isinstance(exc, Rotten) else None


class Orchard(Asking):
    """Asks the API; `settings` can be changed, as by a reload."""

    def __init__(self, settings: Admin) -> None:
        self.settings = settings
        app = create_app(
            CALLS,
            Asked,
            gate=Gate(settings.address),
            settings=lambda: self.settings,
            translate=_denied,
            whose="the orchard",
            max_body=MAX_BODY,
        )
        super().__init__(TestClient(TestServer(app)))


def settings_of(*, tokens: Iterable[Mapping[str, Any]] = (), **settings: Any) -> Admin:
    """Settings as a file would say them."""
    return Admin.model_validate({**settings, "tokens": tuple(tokens)})


@asynccontextmanager
async def growing(**settings: Any) -> AsyncIterator[Orchard]:
    """An orchard with these settings."""
    orchard = Orchard(settings_of(**settings))
    async with orchard.client:
        yield orchard
