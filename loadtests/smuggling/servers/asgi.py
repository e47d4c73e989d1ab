"""The application that uvicorn runs."""

from collections.abc import Awaitable, Callable
from typing import Any

from loadtests.smuggling.servers import recording

recording.note_refusals("uvicorn.error", "Invalid HTTP request")


async def application(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Write the request down and say who it was."""
    target = scope["raw_path"].decode("latin-1")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    is_early = "/early/" in target
    length, more = 0, not is_early
    while more:
        event = await receive()
        if event["type"] != "http.request":
            return  # the client went away within the body
        length += len(event.get("body", b""))
        more = event.get("more_body", False)
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    said = recording.note(scope["method"], target, fields, scope["client"][1], None if is_early else length)
    head = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": said})
