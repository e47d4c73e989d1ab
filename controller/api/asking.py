"""Reading what a client asks: who it is, and a body, strictly, with all problems at once.

Owns the way from bytes to the models, and who gets in. Must not know a view.

1. A body is JSON (RFC 8259) of at most 64 KiB that arrives within `BODY_SECONDS`; without one, everything has its
   default.
2. Only digests of tokens are compared, in constant time; a token never stands in a log or an answer.
3. A browser sends Origin with what a page of another site makes it send, and a Host which that site chose (DNS
   rebinding): neither gets in. RFC 6454 §7.3.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from hashlib import sha256
from typing import Final, TypeVar
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.address import TcpAddress
from config.controller import Controller
from config.problems import Problem, nearest
from controller.api.models import Closed, Nothing
from controller.api.problem import Denied

M = TypeVar("M", bound=Closed)

MAX_BODY: Final = 64 * 1024
BODY_SECONDS: Final = 10.0
MAX_ACTOR: Final = 100


async def read_body(request: web.Request, model: type[M]) -> M:
    """The body. Raises Denied (408, 415, 422)."""
    if model is Nothing:
        return model()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            text = await request.read()
    except TimeoutError as exc:
        raise Denied(408, f"The body did not arrive within {BODY_SECONDS:g} seconds") from exc
    if text and request.content_type != "application/json":
        raise Denied(415, "The body has to be JSON: send Content-Type: application/json")
    try:
        # As Python values, not as JSON text: pydantic's own messages for broken JSON name no place.
        return model.model_validate(json.loads(text or b"{}"))
    except ValidationError as exc:
        problems = [_problem(error, model) for error in exc.errors(include_url=False)]
        raise Denied(422, "The request cannot be used", problems) from exc
    except (ValueError, RecursionError) as exc:
        raise Denied(422, "The body is not JSON", (Problem("", str(exc)),)) from exc


def read_actor(request: web.Request) -> str:
    """Who asks. Raises Denied (422)."""
    actor = request.headers.get("X-Serinus-Actor", "controller api")
    if not (0 < len(actor) <= MAX_ACTOR and actor.isprintable()):
        message = f"must be 1 to {MAX_ACTOR} characters, none of them a control character"
        raise Denied(422, "The actor cannot be used", (Problem("X-Serinus-Actor", message),))
    return actor


def check_access(request: web.Request, settings: Controller, *, is_open: bool) -> None:
    """Let a request in. Raises Denied (401, 403)."""
    _check_origin(request)
    if is_open:
        return
    if settings.token is None:
        _check_host(request, settings)
        return
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    right = sha256(settings.token.get_secret_value().encode()).digest()
    given = sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
    if scheme.lower() == "bearer" and hmac.compare_digest(given, right):
        return
    sentence = "This is not the token" if token else "A token is needed: Authorization: Bearer TOKEN"
    raise Denied(401, sentence, headers={"WWW-Authenticate": 'Bearer realm="serinus"'})


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is None:
        return
    own = f"{urlsplit(origin).scheme}://{request.headers.get('Host', '')}"
    if origin.lower() != own.lower():
        raise Denied(403, "Pages of other sites have no access")


def _check_host(request: web.Request, settings: Controller) -> None:
    host = request.headers.get("Host")
    if host is None or not isinstance(settings.address, TcpAddress):
        return
    name = urlsplit(f"//{host}").hostname or ""
    if not (_is_address(name) or TcpAddress(name, 0).is_local or name == settings.address.host):
        raise Denied(403, "Without a token this API answers to IP addresses and to localhost only, as Host")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _problem(error: ErrorDetails, model: type[Closed]) -> Problem:
    path = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            known = [field.alias or name for name, field in model.model_fields.items()]
            return Problem(path, "is not known here", suggestion=nearest(path, known))
        case "missing":
            return Problem(path, "is required")
        case "value_error":
            return Problem(path, str(error["ctx"]["error"]))
        case "model_type" | "model_attributes_type":
            return Problem(path, "must be an object")
        case _:
            return Problem(path, error["msg"][:1].lower() + error["msg"][1:])
