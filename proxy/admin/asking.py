"""Reading what a client asks: bodies, queries and conditions, strictly, with all problems at once.

Owns the way from bytes to the models, and its limits. Must not know a view.

1. A body is JSON (RFC 8259) of at most 1 MiB that arrives within `BODY_SECONDS`; a name stands in an object once.
2. Where only some members are wrong, the rest is read all the same, so that the step that wants it can add its
   problems.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, TypeVar

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.admin.models import Closed, Nothing, is_one_line
from proxy.core.live import Problem, Refused, nearest

M = TypeVar("M", bound=Closed)

MAX_BODY: Final = 1024 * 1024
BODY_SECONDS: Final = 10.0
MAX_ACTOR: Final = 100

# `7`, `"7"` and `W/"7"`: people type the first, and proxies make the last of the second when they compress.
_TAG: Final = re.compile(r'(?:W/)?"([^"]*)"|([0-9]+)')
_MESSAGES: Final[Mapping[str, str]] = {
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "extra_forbidden": "is not known here",
    "greater_than_equal": "must be at least {ge}",
    "int_parsing": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "model_type": "must be an object",
    "string_too_long": "has more than {max_length} characters",
    "string_type": "must be text",
}


async def read_body(request: web.Request, model: type[M]) -> tuple[M, tuple[Problem, ...]]:
    """The body, and what is wrong with the parts of it that could be left out.

    Raises:
        Refused: 408, 413, 415, or 422 when too much is wrong.
    """
    if model is Nothing:
        return model(), ()
    if request.content_type != "application/json":
        raise Refused(415, "The body has to be JSON: send Content-Type: application/json")
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise Refused(413, "The body is larger than 1 MiB")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            content = await request.read()
    except TimeoutError as exc:
        raise Refused(408, f"The body did not arrive within {BODY_SECONDS:g} seconds") from exc
    return _validated(_parsed(content), model)


def read_query(request: web.Request, model: type[M]) -> M:
    """The query. Raises Refused (422) with all problems."""
    lists = {name for name, field in model.model_fields.items() if field.annotation == list[str]}
    values: dict[str, object] = {}
    for name in request.query:
        every = request.query.getall(name)
        values[name] = every if name in lists or len(every) > 1 else every[0]
    query, problems = _validated(values, model)
    if problems:
        raise Refused(422, "The query cannot be used", problems)
    return query


def read_actor(request: web.Request) -> str:
    """Who asks for a change. Raises Refused (422)."""
    actor = request.headers.get("X-Serinus-Actor", "admin api")
    if not (0 < len(actor) <= MAX_ACTOR and is_one_line(actor)):
        message = f"must be 1 to {MAX_ACTOR} characters, none of them a control character"
        raise Refused(422, "The actor cannot be used", (Problem("X-Serinus-Actor", message),))
    return actor


def read_if_match(request: web.Request, generation: int) -> int | None:
    """The generation that a change has to be based on, None when any will do (RFC 9110 §13.1.1).

    Raises:
        Refused: 412 when the current generation is none of those named.
    """
    tags = _tags(request, "If-Match")
    if tags is None or "*" in tags:
        return None
    if str(generation) not in tags:
        raise Refused(412, f"The live state has generation {generation}, which If-Match does not name")
    return generation


def matches_none(request: web.Request, generation: int) -> bool:
    """Whether a conditional GET has news for the client (RFC 9110 §13.1.2)."""
    tags = _tags(request, "If-None-Match")
    return tags is None or not tags & {"*", str(generation)}


def _tags(request: web.Request, header: str) -> set[str] | None:
    fields = request.headers.getall(header, [])
    if not fields:
        return None
    text = ",".join(fields)
    return {"*"} if text.strip() == "*" else {quoted or bare for quoted, bare in _TAG.findall(text)}


def _parsed(content: bytes) -> object:
    """The JSON value. Raises Refused (422)."""
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
        # JSON can name half of a surrogate pair; nothing that we write may hold one.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as exc:
        raise _not_json("it is not UTF-8 text") from exc
    except RecursionError as exc:
        raise _not_json("it is nested too deeply") from exc
    except ValueError as exc:
        raise _not_json(str(exc)) from exc
    return value


def _not_json(why: str) -> Refused:
    return Refused(422, "The body is not JSON", (Problem("", why),))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"the name {name!r} stands in an object twice")
        content[name] = value
    return content


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _validated(value: object, model: type[M]) -> tuple[M, tuple[Problem, ...]]:
    try:
        return model.model_validate(value), ()
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=True)
    problems = tuple(_problem(error, model) for error in errors)
    wrong = {error["loc"][0] for error in errors if error["loc"]}
    if isinstance(value, dict) and wrong:
        try:
            return model.model_validate({key: item for key, item in value.items() if key not in wrong}), problems
        except ValidationError:
            pass  # what is wrong cannot be left out
    raise Refused(422, "The request cannot be used", problems)


def _problem(error: ErrorDetails, model: type[Closed]) -> Problem:
    context: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] == "value_error":
        message = str(context["error"])
    else:
        template = _MESSAGES.get(error["type"])
        message = template.format(**context) if template else error["msg"]
    known: Iterable[str] = model.model_fields if error["type"] == "extra_forbidden" else ()
    path = ".".join(str(part) for part in error["loc"])
    return Problem(path, message, suggestion=nearest(path, known))
