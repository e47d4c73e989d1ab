"""How the controller says no: RFC 9457 problem details for every error, whoever raised it.

Owns the translation of exceptions into answers. Must not let a traceback or the text of an unexpected exception out.

1. Every answer from 400 upward has the type application/problem+json; its title depends on the status only.
2. All problems of a request are in `problems`, each with its path and, where there is one, the nearest valid name.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from config.problems import Problem
from controller.conductor import Impossible, NotFound, Unready
from controller.core.orders import Refused

MEDIA_TYPE: Final = "application/problem+json"

# The phrases of RFC 9110 and its registry: those of http.HTTPStatus differ between versions of Python.
TITLES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

log: Final = logging.getLogger("serinus.controller")


class Denied(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self,
        status: int,
        sentence: str,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.problems = tuple(problems)
        self.headers = dict(headers or {})


def as_response(denied: Denied) -> web.Response:
    """The answer that tells a client about it. ASCII only: a name in a message may be anything that JSON can escape."""
    content = {
        "type": "about:blank",
        "title": TITLES.get(denied.status, "Error"),
        "status": denied.status,
        "detail": str(denied),
        "problems": [
            {"path": each.path, "message": each.message, "suggestion": each.suggestion} for each in denied.problems
        ],
    }
    text = json.dumps(content)
    return web.Response(status=denied.status, headers=denied.headers, text=text, content_type=MEDIA_TYPE)


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every refusal and every failure inside as a problem."""
    try:
        return await handler(request)
    except Denied as denied:
        return as_response(denied)
    except (NotFound, Impossible, Unready, Refused) as exc:
        return as_response(_of_conductor(exc))
    except web.HTTPException as exc:
        return as_response(_of_aiohttp(request, exc))
    except Exception:
        log.exception("%s %r failed", request.method, request.path)
        return as_response(Denied(500, "Something went wrong in the controller; its log says what"))


def _of_conductor(exc: NotFound | Impossible | Unready | Refused) -> Denied:
    match exc:
        case NotFound():
            return Denied(404, str(exc), (Problem("", str(exc), suggestion=exc.suggestion),))
        case Impossible():
            return Denied(422, str(exc), exc.problems)
        case Unready():
            return Denied(503, str(exc))
        case Refused():
            return Denied(409, str(exc))


def _of_aiohttp(request: web.Request, exc: web.HTTPException) -> Denied:
    """What aiohttp's own parts raise."""
    if isinstance(exc, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exc.allowed_methods))
        return Denied(405, f"{request.method} is not for this path; {allowed} is", headers={"Allow": allowed})
    if isinstance(exc, web.HTTPNotFound):
        return Denied(404, "There is no such path; /openapi.json lists all of them")
    if isinstance(exc, web.HTTPRequestEntityTooLarge):
        return Denied(413, "The body is too large")
    return Denied(exc.status, TITLES.get(exc.status, exc.reason))
