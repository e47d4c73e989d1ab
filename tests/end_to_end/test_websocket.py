"""WebSockets through a whole proxy, at length: client and server of the `websockets` library on its two sides."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from tests.support.certificates import Authority
from tests.support.waiting import until
from tests.support.websocket_ends import opened, websocket_server
from tests.support.whole_proxy import WholeProxy, a_service, whole_proxy

OURS = Authority()
MESSAGES = 3000
LARGE = 16 * 1024 * 1024
Socket = ClientConnection | ServerConnection


@asynccontextmanager
async def proxied(
    folder: Path, ports: dict[str, int], weights: dict[str, int], **top: Any
) -> AsyncIterator[WholeProxy]:
    """A proxy with these versions, started and ended beside the event loop."""
    places = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    drain = top.pop("drain", {})
    entered = whole_proxy(folder, {**a_service(places, weights, **({"drain": drain} if drain else {})), **top})
    proxy = await asyncio.to_thread(entered.__enter__)
    try:
        yield proxy
    finally:
        await asyncio.to_thread(entered.__exit__, None, None, None)


def messages(seed: int) -> Iterator[str | bytes]:
    """Texts and bytes of all kinds of sizes, the same for each seed."""
    chance = random.Random(seed)
    for i in range(MESSAGES):
        size = chance.choice((0, 1, 20, 125, 126, 300, 5000)) if i % 500 else 70_000
        yield "ü" * size if chance.random() < 0.5 else chance.randbytes(size)


def told(message: str | bytes) -> bytes:
    return b"t" + message.encode() if isinstance(message, str) else b"b" + message


async def speak(socket: Socket, seed: int) -> bytes:
    """Send all of them; what they sum up to."""
    total = hashlib.sha256()
    for message in messages(seed):
        total.update(told(message))
        await socket.send(message)
    return total.digest()


async def listen(socket: Socket) -> bytes:
    """What as many messages sum up to."""
    total = hashlib.sha256()
    for _ in range(MESSAGES):
        total.update(told(await socket.recv()))
    return total.digest()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_thousands_of_messages_pass_both_ways_at_once_unchanged(tmp_path: Path, scheme: str):
    sums: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()

    async def talk(socket: ServerConnection) -> None:
        said, heard = await asyncio.gather(speak(socket, 1), listen(socket))
        sums.put_nowait((said, heard))

    top: dict[str, Any] = {}
    secure: dict[str, Any] = {}
    if scheme == "wss":
        OURS.write(tmp_path, "server", "localhost")
        top = {"listen": [{"address": "127.0.0.1:0", "tls": {"cert": "server.pem", "key": "server.key"}}]}
        secure = {"ssl": OURS.trusting(), "server_hostname": "localhost"}
    async with (
        websocket_server(talk) as port,
        proxied(tmp_path, {"v1": port}, {"v1": 1}, **top) as proxy,
        opened(proxy, scheme, **secure) as socket,
    ):
        said, heard = await asyncio.gather(speak(socket, 2), listen(socket))
        assert await sums.get() == (heard, said)
        await socket.wait_closed()
        assert socket.close_code == CloseCode.NORMAL_CLOSURE


async def test_large_frames_fragments_and_pings_pass_as_they_are(tmp_path: Path):
    fragments: asyncio.Queue[list[bytes]] = asyncio.Queue()

    async def serve(socket: ServerConnection) -> None:
        await (await socket.ping(b"from the server"))
        fragments.put_nowait([piece async for piece in socket.recv_streaming(decode=False)])
        async for message in socket:
            await socket.send(message)

    async def pieces() -> AsyncIterator[bytes]:
        for size in (0, 1, 200_000, 70_000):
            yield bytes(size)
            await (await socket.ping())

    async with (
        websocket_server(serve) as port,
        proxied(tmp_path, {"v1": port}, {"v1": 1}) as proxy,
        opened(proxy, compression=None) as socket,
    ):
        await socket.send(pieces())
        assert [len(piece) for piece in await fragments.get()] == [0, 1, 200_000, 70_000, 0]
        frame = os.urandom(LARGE)
        await socket.send(frame)
        assert await socket.recv() == frame


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_the_two_ends_agree_on_compression(tmp_path: Path, compression: Any):
    async with (
        websocket_server(compression=compression) as port,
        proxied(tmp_path, {"v1": port}, {"v1": 1}) as proxy,
        opened(proxy) as socket,
    ):
        assert socket.response is not None
        agreed = socket.response.headers.get("Sec-WebSocket-Extensions", "")
        assert agreed.startswith("permessage-deflate") is (compression is not None)
        for text in ("", "a", "repeat " * 100_000):
            await socket.send(text)
            assert await socket.recv() == text


async def test_close_codes_and_reasons_reach_the_other_side(tmp_path: Path):
    seen: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()

    async def serve(socket: ServerConnection) -> None:
        code, _, reason = str(await socket.recv()).partition(" ")
        if reason == "server":
            await socket.close(int(code), "said by the server")
        else:
            await socket.wait_closed()
            seen.put_nowait((socket.close_code, socket.close_reason))

    async with websocket_server(serve) as port, proxied(tmp_path, {"v1": port}, {"v1": 1}) as proxy:
        for code in (1000, 1001, 1003, 1008, 1011, 3000, 4999):
            async with opened(proxy) as socket:
                await socket.send(f"{code} server")
                await socket.wait_closed()
                assert (socket.close_code, socket.close_reason) == (code, "said by the server")
            async with opened(proxy) as socket:
                await socket.send(f"{code} client")
                await socket.close(code, "said by the client")
                assert await seen.get() == (code, "said by the client")


async def test_an_upstream_that_dies_ends_its_tunnels_at_once_and_no_other(tmp_path: Path):
    async def die(socket: ServerConnection) -> None:
        await socket.recv()
        socket.transport.abort()

    async with (
        websocket_server(die) as dying,
        websocket_server() as other,
        proxied(tmp_path, {"v1": dying, "v2": other}, {"v1": 1, "v2": 0}) as proxy,
        opened(proxy) as lost,
    ):
        await asyncio.to_thread(proxy.admin.set_split, "shop", {"v1": 0, "v2": 1})
        async with opened(proxy) as kept:
            await lost.send("die")
            with pytest.raises(ConnectionClosed):
                await lost.recv()
            assert lost.close_code == CloseCode.ABNORMAL_CLOSURE
            await kept.send("still here")
            assert await kept.recv() == "still here"


async def test_a_client_that_reads_nothing_holds_up_the_server_and_no_memory(tmp_path: Path):
    """The server sends until nothing goes any more: far less than it could."""
    sent = 0

    async def flood(socket: ServerConnection) -> None:
        nonlocal sent
        for sent in range(10_000):  # noqa: B007  # the test looks at how far it came
            await socket.send(bytes(100_000))

    async with (
        websocket_server(flood, compression=None) as port,
        proxied(tmp_path, {"v1": port}, {"v1": 1}, workers=1) as proxy,
    ):
        (worker,) = proxy.workers()
        before = proxy.memory(worker)
        reader, writer = await asyncio.open_connection(*proxy.address, limit=1024)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        last = -1
        while last != sent:
            last = sent
            await asyncio.sleep(0.5)
        assert sent < 1000, "it could have sent ten times as much"
        assert proxy.memory(worker) - before < 8 * 1024 * 1024
        writer.transport.abort()


class TestChanges:
    async def test_a_conversation_outlives_changes_of_weights_and_reloads(self, tmp_path: Path):
        async with (
            websocket_server() as old,
            websocket_server() as new,
            proxied(tmp_path, {"v1": old, "v2": new}, {"v1": 1, "v2": 0}) as proxy,
            opened(proxy) as socket,
        ):
            for i in range(20):
                await asyncio.to_thread(proxy.admin.set_split, "shop", {"v1": i % 2, "v2": 1})
                if i % 5 == 0:
                    proxy.program.send_signal(signal.SIGHUP)
                await socket.send(f"message {i}")
                assert await socket.recv() == f"message {i}"

    async def test_clients_of_a_drained_endpoint_are_told_1001_and_so_is_the_server(self, tmp_path: Path):
        codes: list[int | None] = []

        async def serve(socket: ServerConnection) -> None:
            with suppress(ConnectionClosed):  # the close may come while it answers
                async for message in socket:
                    await socket.send(message)
            await socket.wait_closed()
            codes.append(socket.close_code)

        async with (
            websocket_server(serve) as port,
            proxied(tmp_path, {"v1": port}, {"v1": 1}, drain={"timeout": "100ms", "jitter": "300ms"}) as proxy,
        ):
            sockets = [await opened(proxy) for _ in range(20)]
            talking = [asyncio.create_task(keep_talking(socket)) for socket in sockets]
            await asyncio.to_thread(proxy.admin.set_endpoint_state, "shop", "v1", f"127.0.0.1:{port}", "drain")
            await asyncio.gather(*talking)
            assert {socket.close_code for socket in sockets} == {CloseCode.GOING_AWAY}
            await until(lambda: len(codes) == len(sockets))
            assert set(codes) == {CloseCode.GOING_AWAY}

    async def test_clients_of_a_proxy_that_stops_are_told_1001_before_it_has_stopped(self, tmp_path: Path):
        async with (
            websocket_server() as port,
            proxied(tmp_path, {"v1": port}, {"v1": 1}, drain={"jitter": "1s"}, drain_timeout="4s") as proxy,
        ):
            sockets = [await opened(proxy) for _ in range(20)]
            talking = [asyncio.create_task(keep_talking(socket)) for socket in sockets]
            assert await asyncio.to_thread(proxy.end) == 0
            await asyncio.gather(*talking)
            assert {socket.close_code for socket in sockets} == {CloseCode.GOING_AWAY}


async def keep_talking(socket: ClientConnection) -> None:
    """Until the end. What is answered is what was said."""
    try:
        for i in range(100_000):
            await socket.send(str(i))
            assert await socket.recv() == str(i)
            await asyncio.sleep(0.02)
    except ConnectionClosed:
        return
