"""How a WebSocket begins through the proxy, and what does not become one (RFC 9110 section 7.8, RFC 6455)."""

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from proxy.core.snapshot import KeySource, Sticky
from tests.support.echo_upstream import echoes, status
from tests.support.one_client import connected
from tests.support.one_worker import one_worker, service
from tests.support.websocket_ends import HANDSHAKE, opened, websocket_server


class TestHandshake:
    async def test_a_refused_upgrade_is_an_ordinary_answer_on_a_connection_that_stays(self):
        async with echoes(1) as (refusing,):
            refusing.script.append(status(403))
            with one_worker(service([[refusing.port]])) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(HANDSHAKE)
                    assert (await client.receive()).status == 403
                    assert (await client.ask()).port == refusing.port
                assert worker.slab.read_worker()["tunnels"] == 0

    async def test_a_websocket_client_sees_the_status_of_the_refusal(self):
        async with echoes(1) as (refusing,):
            refusing.always = status(401)
            with one_worker(service([[refusing.port]])) as worker, pytest.raises(InvalidStatus) as caught:
                await opened(worker)
        assert caught.value.response.status_code == 401

    async def test_the_upstream_gets_the_whole_handshake(self):
        async with echoes(1) as (echo,):
            with one_worker(service([[echo.port]])) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(HANDSHAKE)
                    await client.receive()
        headers = echo.requests[0].headers
        assert (headers["connection"], headers["upgrade"]) == ("Upgrade", "websocket")
        assert headers["sec-websocket-key"] == "dGhlIHNhbXBsZSBub25jZQ=="
        assert headers["sec-websocket-version"] == "13"

    @pytest.mark.parametrize(
        ("method", "version", "fields"),
        [
            ("GET", "1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
            ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: something/1.0\r\n"),
            ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocketx\r\n"),
            ("GET", "1.1", "Upgrade: websocket\r\n"),
            ("GET", "1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
            ("POST", "1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n"),
        ],
    )
    async def test_other_upgrades_are_not_passed_on(self, method: str, version: str, fields: str):
        async with echoes(1) as (echo,):
            with one_worker(service([[echo.port]])) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(f"{method} / HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode())
                    assert (await client.receive()).port == echo.port
        assert not {"connection", "upgrade", "http2-settings"} & set(echo.requests[0].headers)

    async def test_a_service_without_upgrades_passes_none_on(self):
        async with echoes(1) as (echo,):
            with one_worker(service([[echo.port]], upgrades=frozenset())) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(HANDSHAKE)
                    assert (await client.receive()).port == echo.port
        assert "upgrade" not in echo.requests[0].headers

    async def test_a_handshake_with_a_body_is_refused(self):
        async with echoes(1) as (echo,):
            with one_worker(service([[echo.port]])) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(HANDSHAKE[:-2] + b"Content-Length: 4\r\n\r\nbody")
                    assert (await client.receive()).status == 400
        assert echo.requests == []

    async def test_a_new_user_gets_the_cookie_with_the_switch(self):
        async with websocket_server() as port:
            shop = service([[port]], sticky=Sticky((KeySource("own-cookie"),)), expose_version=True)
            with one_worker(shop) as worker:
                async with opened(worker) as socket:
                    assert socket.response is not None
                    assert socket.response.headers["Set-Cookie"].startswith("serinus_uid=")
                    assert socket.response.headers["X-Serinus-Version"] == "v1"

    async def test_a_tunnel_whose_endpoint_vanishes_ends(self):
        async def vanish(socket: ServerConnection) -> None:
            await socket.recv()
            socket.transport.abort()

        async with websocket_server(vanish) as port:
            with one_worker(service([[port]])) as worker:
                async with opened(worker) as socket:
                    await socket.send("go")
                    with pytest.raises(ConnectionClosed):
                        await socket.recv()
