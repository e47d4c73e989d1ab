"""How an API says no: RFC 9457 problem details for every error, whoever raised it.

Owns the translation of exceptions into answers. Must not let a traceback or the text of an unexpected exception out.

1. Every answer from 400 upward has the type application/problem+json; its title depends on the status only.
2. All problems of a request are in `problems`, each with its path and, where there is one, the nearest valid name.
3. A line of the log never holds a control character that a client sent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from config.problems import Problem

MEDIA_TYPE: Final = "application/problem+json"

log: Final = logging.getLogger("serinus.api")

# The phrases of RFC 9110 and its registry: those of http.HTTPStatus differ between versions of Python.
TITLES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


class Denied(Exception):
    """A request that is answered with a problem, with header fields and members (RFC 9457 §3.2) of its own."""

    def __init__(
        self,
        status: int,
        title: str,
        problems: Sequence[Problem] = (),
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__("; ".join([title, *(problem.message for problem in problems)]))
        self.status = status
        self.title = title
        self.problems = tuple(problems)
        self.headers = dict(headers or {})
        self.members = dict(members or {})


def escaped(text: str) -> str:
    """Text from a client on one line of the log: without control characters, and not endless."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= 200 else f"{shown[:197]}..."


def as_response(denied: Denied) -> web.Response:
    """The answer that tells a client about a refusal."""
    content: dict[str, object] = {
        "type": "about:blank",
        "title": TITLES.get(denied.status, "Error"),
        "status": denied.status,
        "detail": denied.title,
        "problems": [
            {
                "path": each.path,
                "message": each.message,
                "suggestion": each.suggestion,
                "line": each.line,
                "column": each.column,
            }
            for each in denied.problems
        ],
        **denied.members,
    }
    # ASCII only: a name in a message may be anything that JSON can escape, half a surrogate pair too.
    text = json.dumps(content)
    return web.Response(status=denied.status, headers=denied.headers, text=text, content_type=MEDIA_TYPE)


def problems_answered(translate: Callable[[Exception], Denied | None], whose: str, max_body: int) -> Middleware:
    """The middleware that answers every refusal and every failure inside as a problem.

    `translate` knows the exceptions of whoever is asked; `whose` names them when it was none of these.
    """

    @web.middleware
    async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Denied as denied:
            return as_response(denied)
        except web.HTTPException as exc:
            return as_response(_of_aiohttp(request, exc, max_body))
        except Exception as exc:
            denied_here = translate(exc)
            if denied_here is None and isinstance(exc, ConnectionResetError):
                denied_here = Denied(400, "The connection ended before the request was whole")  # nobody hears it
            if denied_here is None:
                log.exception("%s %s failed", request.method, escaped(request.path_qs))
                denied_here = Denied(500, f"Something went wrong in {whose}; its log says what")
            return as_response(denied_here)

    return answer_problems


def too_large(max_body: int) -> Denied:
    """The refusal of a body beyond the limit, in bytes."""
    limit = f"{max_body >> 20} MiB" if max_body >= 1 << 20 else f"{max_body >> 10} KiB"
    return Denied(413, f"The body is larger than {limit}")


async def answer_expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect` (RFC 9110 §10.1.1) before the views come in: aiohttp asks outside of all middlewares."""
    expectation = request.headers.get("Expect", "")
    if expectation.lower() != "100-continue":
        return as_response(Denied(417, "Only the expectation 100-continue is known"))
    if request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # nothing of the answer itself has been sent
    return None


def _of_aiohttp(request: web.Request, exception: web.HTTPException, max_body: int) -> Denied:
    """The refusal for what aiohttp's own parts raise."""
    if isinstance(exception, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(exception.allowed_methods))
        sentence = f"{request.method} is not for this path; {allowed} is" if allowed else "no method is for this path"
        return Denied(405, sentence, headers={"Allow": allowed})
    if isinstance(exception, web.HTTPNotFound):
        return Denied(404, "There is no such path; /openapi.json lists all of them")
    if isinstance(exception, web.HTTPRequestEntityTooLarge):
        return too_large(max_body)
    return Denied(exception.status, TITLES.get(exception.status, exception.reason))
