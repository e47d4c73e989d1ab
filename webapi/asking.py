"""Reading what a client asks: bodies, queries and header fields, strictly, with all problems at once.

Owns the way from bytes to the models, and its limits. Must not know a view.

1. A body is JSON (RFC 8259) that arrives within `BODY_SECONDS`; a name stands in an object once. Where everything in it
   has a default, there need not be one.
2. Where only some members are wrong, the rest is read all the same, so that the step that wants it can add its
   problems.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, TypeVar

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.problems import Problem, nearest
from config.who import Who
from webapi.call import JSON, Call
from webapi.problem import Denied, too_large
from webapi.roles import CALLER
from webapi.shapes import Closed, Nothing, is_one_line

M = TypeVar("M", bound=Closed)

BODY_SECONDS: Final = 10.0
MAX_ACTOR: Final = 100
#: The methods that change nothing (RFC 9110 §9.2.1) and that this API has; what is in their bodies is not looked at.
_LOOKING: Final = ("GET", "HEAD")
#: The fields that say why; the message of a signal is its reason.
_REASONS: Final = ("reason", "message")

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


async def read_body(request: web.Request, model: type[M], max_body: int) -> tuple[M, tuple[Problem, ...]]:
    """The body, and what is wrong with the parts of it that could be left out.

    Raises:
        Denied: 408, 413, 415, or 422 when too much is wrong.
    """
    if not _brings_body(request, model):
        return model(), ()
    if request.content_length is not None and request.content_length > max_body:
        raise too_large(max_body)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            content = await request.read()
    except TimeoutError as exc:
        raise Denied(408, f"The body did not arrive within {BODY_SECONDS:g} seconds") from exc
    if not content and is_optional(model):
        return model(), ()
    return _validated(_parsed(content), model)


def _brings_body(request: web.Request, model: type[Closed]) -> bool:
    """Whether there is a body to read. Raises Denied (415).

    A change takes JSON or nothing, also where the body says nothing: what a form of another site sends in a browser is
    never JSON.
    """
    if is_optional(model) and not request.body_exists:
        return False
    if request.content_type != JSON and request.method not in _LOOKING:
        raise Denied(415, "The body has to be JSON: send Content-Type: application/json")
    return model is not Nothing


def is_optional(model: type[Closed]) -> bool:
    """Whether everything that a body can say has a default."""
    return not any(field.is_required() for field in model.model_fields.values())


def read_query(request: web.Request, model: type[M]) -> M:
    """The query. Raises Denied (422) with all problems."""
    lists = {name for name, field in model.model_fields.items() if field.annotation == list[str]}
    values: dict[str, object] = {}
    for name in request.query:
        every = request.query.getall(name)
        values[name] = every if name in lists or len(every) > 1 else every[0]
    query, problems = _validated(values, model)
    if problems:
        raise Denied(422, "The query cannot be used", problems)
    return query


def check_reason(call: Call[Any], query: Closed, body: Closed) -> None:
    """Whether a change says why; what is only tried need not.

    Raises:
        Denied: 422 when it could, and does not.
    """
    places = [(each, name) for each in (body, query) for name in _REASONS if name in type(each).model_fields]
    is_tried = getattr(query, "dry_run", False)
    if not call.changes or not places or is_tried or any(getattr(*place).strip() for place in places):
        return
    field = places[0][1]
    problem = Problem(field, f"is required here (require_reason): say why; on the command line with --{field}")
    raise Denied(422, "A change has to say why", (problem,))


def read_who(request: web.Request, unknown: str) -> Who:
    """Who asks for a change: the owner of the token, and what they say of themselves; without a name that is known for
    sure, what they say, or `unknown`.

    Raises:
        Denied: 422 for what nobody can be called, or is not theirs to say.
    """
    caller, said = request[CALLER], request.headers.get("X-Serinus-Actor")
    if said is not None and not (0 < len(said) <= MAX_ACTOR and is_one_line(said)):
        raise _not_an_actor(f"must be 1 to {MAX_ACTOR} characters, none of them a control character")
    if said is not None and said.casefold() in caller.taken and said != caller.name:
        raise _not_an_actor(f"{said!r} is the name of somebody else; without the header it is known who asks")
    return Who(caller.name, said or "") if caller.name else Who(said or unknown)


def _not_an_actor(message: str) -> Denied:
    return Denied(422, "The actor cannot be used", (Problem("X-Serinus-Actor", message),))


def _parsed(content: bytes) -> object:
    """The JSON value. Raises Denied (422)."""
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


def _not_json(why: str) -> Denied:
    return Denied(422, "The body is not JSON", (Problem("", why),))


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
    raise Denied(422, "The request cannot be used", problems)


def _problem(error: ErrorDetails, model: type[Closed]) -> Problem:
    context: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] == "value_error":
        message = str(context["error"])
    else:
        template = _MESSAGES.get(error["type"])
        message = template.format(**context) if template else error["msg"][:1].lower() + error["msg"][1:]
    known: Iterable[str] = _names(model) if error["type"] == "extra_forbidden" else ()
    path = ".".join(str(part) for part in error["loc"])
    return Problem(path, message, suggestion=nearest(path, known))


def _names(model: type[Closed]) -> list[str]:
    """The keys of a body, as a client writes them."""
    return [field.alias or name for name, field in model.model_fields.items()]
