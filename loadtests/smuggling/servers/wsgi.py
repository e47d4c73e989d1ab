"""The application that gunicorn runs."""

from collections.abc import Callable, Iterable
from typing import Any

from loadtests.smuggling.servers import recording

_PLAIN = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}

recording.note_refusals("gunicorn.error", "Invalid request")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Write the request down and say who it was."""
    target = environ["RAW_URI"]
    body = None if "/early/" in target else len(environ["wsgi.input"].read())
    fields = {
        _PLAIN.get(name, name.removeprefix("HTTP_").replace("_", "-").lower()): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in _PLAIN
    }
    said = recording.note(environ["REQUEST_METHOD"], target, fields, int(environ["REMOTE_PORT"]), body)
    start_response("200 OK", [("Content-Length", str(len(said)))])
    return [said]
