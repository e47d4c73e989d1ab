"""What is not HTTP, at the port of an API: it is answered, and nobody writes into the log without a token."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from webapi.serving import runner_of

FORGED = b"\nserinus [ERROR] forged"
NOT_HTTP = {
    "a space in a name": b"GET / HTTP/1.1\r\nHo st: x" + FORGED,
    "a line feed in the target": b"GET /a" + FORGED + b" HTTP/1.1\r\nHost: x",
    "an escape": b"GET /\x1b[31m\xff HTTP/1.1\r\nHost: x",
    "a NUL": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00\x1b[31m",
    "no URL": b"GET http://[forged/ HTTP/1.1\r\nHost: x",
    "a header without end": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000,
    "two lengths": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00 / \x1b",
    "a chunk": b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\x1b",
}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/broken":
            raise ValueError("of our own")
        return web.Response(text=await request.text())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = runner_of(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def answer_to(port: int, request: bytes) -> bytes:
    """The first line of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request + b"\r\n\r\n")
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line


@pytest.mark.parametrize("request_bytes", NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_not_http_leaves_no_line(port: int, request_bytes: bytes, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        assert (await answer_to(port, request_bytes)).startswith(b"HTTP/1.0 400 ")
    assert caplog.text == ""


async def test_who_looks_for_it_finds_one_line_of_text(port: int, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, "serinus.api"):
        await answer_to(port, NOT_HTTP["a space in a name"])
    (line,) = [record.getMessage() for record in caplog.records if record.name == "serinus.api"]
    assert line.startswith("what is not HTTP: Invalid header token")
    assert line.isprintable()


async def test_what_fails_on_our_side_is_logged_as_ever(port: int, caplog: pytest.LogCaptureFixture):
    assert (await answer_to(port, b"GET /broken HTTP/1.1\r\nHost: x")).startswith(b"HTTP/1.1 500 ")
    assert "ValueError: of our own" in caplog.text
