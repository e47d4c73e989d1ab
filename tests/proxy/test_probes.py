"""One probe: what counts as well, and that whatever else comes back is told in words."""

import errno
from pathlib import Path
from typing import Any

import pytest

from config.model import Health
from proxy import probes
from proxy.core.serving import literal_sockets
from proxy.core.snapshot import SocketAddress
from proxy.probes import Probed, probe
from tests.support.endpoints import OK, Endpoint, free_address


def a_check(**parts: Any) -> Health:
    return Health.model_validate({"path": "/healthz", **parts} if "tcp" not in parts else parts)


async def answer_to(answer: bytes, **parts: Any) -> Probed:
    """What a probe makes of an endpoint with this answer; its address is left out of the words."""
    async with Endpoint(answer).serving() as endpoint:
        result = await probe(a_check(**parts), endpoint.address, literal_sockets(endpoint.address))
    return Probed(result.good, result.detail.replace(f"GET http://{endpoint.address}", "GET "), result.answered)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (OK, "200 OK"),
        (b"HTTP/1.0 204 No Content\r\n\r\n", "204 No Content"),
        (b"HTTP/1.1 302\r\n\r\n", "302"),
        (b"HTTP/1.1 200 OK\n\n", "200 OK"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "200 OK"),
    ],
)
async def test_a_wanted_status_is_well(answer: bytes, detail: str):
    assert await answer_to(answer) == Probed(True, f"GET /healthz: {detail}", answered=True)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 13\r\n\r\ndatabase\r\ngone",
            "503 Service Unavailable, wanted 200-399: 'database gone'",
        ),
        (b"HTTP/1.1 500 \r\n\r\n", "500, wanted 200-399"),
        (
            b"HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nno\xff\x00!\r\n0\r\n\r\n",
            "404 No, wanted 200-399: 'no\\ufffd\\x00! 0'",
        ),
        (b"", "closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP/1.1 answer: 'SSH-2.0-OpenSSH_9.2'"),
        (b"HTTP/2 200\r\n\r\n", "not an HTTP/1.1 answer: 'HTTP/2 200'"),
        (b"x" * 100_000, f"not an HTTP/1.1 answer: '{'x' * 120}'"),
    ],
)
async def test_anything_else_is_unwell_and_quoted(answer: bytes, detail: str, monkeypatch: pytest.MonkeyPatch):
    if not answer:
        monkeypatch.setattr(Endpoint, "_serve", _close)
    assert await answer_to(answer) == Probed(False, f"GET /healthz: {detail}", answered=True)


async def _close(self: Endpoint, reader: Any, writer: Any) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_the_wanted_statuses_can_be_chosen():
    assert (await answer_to(OK, expect=("204", "300-399"))).detail == "GET /healthz: 200 OK, wanted 204, 300-399: 'ok'"
    assert (await answer_to(b"HTTP/1.1 418 Tea\r\n\r\n", expect=418)).good is True


async def test_silence_is_unwell_when_the_timeout_is_over():
    assert await answer_to(b"", timeout="50ms") == Probed(False, "GET /healthz: no answer within 50ms")


async def test_a_refused_connection_is_unwell():
    address = free_address()
    result = await probe(a_check(), address, literal_sockets(address))
    assert result == Probed(False, f"GET http://{address}/healthz: Connection refused (ECONNREFUSED)")


@pytest.mark.parametrize("number", sorted(probes._OURS))
async def test_what_fails_because_of_ourselves_tells_nothing(number: int, monkeypatch: pytest.MonkeyPatch):
    async def fail(*_: Any) -> str:
        raise OSError(number, "")

    monkeypatch.setattr(probes, "_connect", fail)
    result = await probe(a_check(), "127.0.0.1:1", ())
    assert result.good is None
    assert errno.errorcode[number] in result.detail


class TestWhatIsSent:
    async def test_a_short_get_that_says_who_asks_and_closes(self):
        async with Endpoint().serving() as endpoint:
            await probe(a_check(), endpoint.address, literal_sockets(endpoint.address))
        assert endpoint.requests == [
            f"GET /healthz HTTP/1.1\r\nHost: {endpoint.address}\r\nUser-Agent: serinus-health\r\n"
            "Accept: */*\r\nConnection: close\r\n\r\n".encode()
        ]

    async def test_the_host_can_be_chosen(self):
        async with Endpoint().serving() as endpoint:
            await probe(a_check(host="shop.example"), endpoint.address, literal_sockets(endpoint.address))
        assert b"\r\nHost: shop.example\r\n" in endpoint.requests[0]

    async def test_a_unix_socket_is_asked_alike(self, tmp_path: Path):
        async with Endpoint().serving(tmp_path / "s") as endpoint:
            result = await probe(a_check(), endpoint.address, literal_sockets(endpoint.address))
        assert result == Probed(True, f"GET /healthz at {endpoint.address}: 200 OK", answered=True)
        assert b"\r\nHost: localhost\r\n" in endpoint.requests[0]

    async def test_over_tcp_a_connection_is_enough(self):
        async with Endpoint().serving() as endpoint:
            result = await probe(a_check(tcp=True), endpoint.address, literal_sockets(endpoint.address))
        assert result == Probed(True, f"connect to {endpoint.address}: accepted", answered=True)
        assert endpoint.requests == []


class TestSeveralAddresses:
    """A name stands for all its addresses: one that accepts is enough."""

    async def test_they_are_tried_in_turn(self):
        async with Endpoint().serving() as endpoint:
            sockets: list[SocketAddress] = [*literal_sockets(free_address()), *literal_sockets(endpoint.address)]
            result = await probe(a_check(), "shop.example:80", sockets)
        assert result == Probed(True, "GET http://shop.example:80/healthz: 200 OK", answered=True)

    async def test_the_last_failure_is_told(self):
        sockets: list[SocketAddress] = [("unix", "/nonexistent/a", 0), *literal_sockets(free_address())]
        assert (await probe(a_check(tcp=True), "shop.example:80", sockets)).detail == (
            "connect to shop.example:80: Connection refused (ECONNREFUSED)"
        )

    async def test_without_any_there_is_nothing_to_connect_to(self):
        assert (await probe(a_check(tcp=True), "shop.example:80", ())).detail == (
            "connect to shop.example:80: it has no address"
        )
