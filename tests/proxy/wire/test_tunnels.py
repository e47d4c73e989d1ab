"""WebSockets: frames both ways, ends from either side, drains; and upgrades that are refused or not passed on."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode

from proxy.core.snapshot import AccessLog, Service, Timeouts
from tests.support.access_lines import access_lines
from tests.support.echo_upstream import Connection, Request, echoes
from tests.support.one_client import Client, connected
from tests.support.one_worker import one_worker, service
from tests.support.waiting import until
from tests.support.websocket_ends import HANDSHAKE, opened, websocket_server

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
LARGE = 8 * 1024 * 1024


def with_endpoint(shop: Service, **fields: Any) -> Service:
    """The same, but for the endpoint of its first version."""
    first, *others = shop.versions
    (endpoint,) = first.endpoints
    return replace(shop, versions=(replace(first, endpoints=(replace(endpoint, **fields),)), *others))


async def answers(socket: ClientConnection, text: str) -> bool:
    await socket.send(text)
    return await socket.recv() == text


class TestFrames:
    async def test_text_bytes_and_pings_pass(self):
        async with websocket_server() as port:
            with one_worker(service([[port]])) as worker:
                async with opened(worker) as socket:
                    assert await answers(socket, "grüße")
                    await socket.send(b"\0\xff")
                    assert await socket.recv() == b"\0\xff"
                    await (await socket.ping())

    @pytest.mark.parametrize("compression", ["deflate", None])
    async def test_a_large_frame_passes(self, compression: Any):
        frame = os.urandom(LARGE)
        async with websocket_server() as port:
            with one_worker(service([[port]])) as worker:
                async with opened(worker, compression=compression) as socket:
                    await socket.send(frame)
                    assert await socket.recv() == frame

    async def test_both_sides_talk_at_once(self):
        async def talk(socket: ServerConnection) -> None:
            speaking = asyncio.create_task(speak(socket))
            assert await listen(socket) == 2000
            await speaking

        async def speak(socket: ServerConnection | ClientConnection) -> None:
            for i in range(2000):
                await socket.send(b"x" * (i % 3000))

        async def listen(socket: ServerConnection | ClientConnection) -> int:
            for i in range(2000):
                assert len(await socket.recv()) == i % 3000
            return 2000

        async with websocket_server(talk) as port:
            with one_worker(service([[port]])) as worker:
                async with opened(worker) as socket:
                    assert (await asyncio.gather(speak(socket), listen(socket)))[1] == 2000
                    await socket.wait_closed()
                    assert socket.close_code == CloseCode.NORMAL_CLOSURE

    async def test_many_tunnels_are_counted_while_they_are_open(self):
        async with websocket_server() as port:
            with one_worker(service([[port]])) as worker:
                sockets = [await opened(worker) for _ in range(20)]
                assert worker.slab.read_worker()["tunnels"] == 20
                assert worker.slab.read_version(1)["in_flight"] == worker.slab.read_endpoint(1)["in_flight"] == 20
                assert worker.slab.read_version(1)["requests"] == {101: 20}
                assert all([await answers(socket, str(i)) for i, socket in enumerate(sockets)])
                await asyncio.gather(*(socket.close() for socket in sockets))
                await until(lambda: worker.slab.read_worker()["tunnels"] == 0)
                assert worker.slab.read_version(1)["in_flight"] == worker.slab.read_endpoint(1)["in_flight"] == 0
                assert worker.slab.read_version(1)["requests"] == {101: 20}
                assert sum(worker.slab.read_endpoint(1)["outcomes"]) == 20

    async def test_open_tunnels_count_for_the_choice_of_an_endpoint(self):
        async with websocket_server() as one, websocket_server() as other:
            with one_worker(service([[one, other]])) as worker:
                sockets = [await opened(worker) for _ in range(10)]
                assert [worker.slab.read_endpoint(slot)["in_flight"] for slot in (1, 2)] == [5, 5]
                await asyncio.gather(*(socket.close() for socket in sockets))


class TestEnds:
    @pytest.mark.parametrize("code", [1000, 1001, 4000])
    async def test_the_server_s_close_code_reaches_the_client(self, code: int):
        async def leave(socket: ServerConnection) -> None:
            await socket.close(code, "because")

        async with websocket_server(leave) as port:
            with one_worker(service([[port]])) as worker:
                async with opened(worker) as socket:
                    await socket.wait_closed()
                assert (socket.close_code, socket.close_reason) == (code, "because")

    async def test_the_client_s_close_code_reaches_the_server(self):
        seen = asyncio.get_running_loop().create_future()

        async def watch(socket: ServerConnection) -> None:
            await socket.wait_closed()
            seen.set_result((socket.close_code, socket.close_reason))

        async with websocket_server(watch) as port:
            with one_worker(service([[port]])) as worker:
                async with opened(worker) as socket:
                    await socket.close(4001, "enough")
                assert await seen == (4001, "enough")

    async def test_a_client_that_resets_ends_the_upstream_connection(self):
        over = asyncio.Event()

        async def watch(socket: ServerConnection) -> None:
            await socket.wait_closed()
            over.set()

        async with websocket_server(watch) as port:
            with one_worker(service([[port]])) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(HANDSHAKE)
                    await client.reader.readuntil(b"\r\n\r\n")
                    client.reset()
                await over.wait()
                await until(lambda: worker.slab.read_worker()["tunnels"] == 0)

    async def test_a_tunnel_without_a_byte_for_too_long_is_ended(self, tmp_path: Path):
        log = AccessLog("json", str(tmp_path / "log"), ("status", "error"))
        async with websocket_server() as port:
            with one_worker(service([[port]], timeouts=Timeouts(tunnel=0.05)), access_log=log) as worker:
                async with opened(worker) as socket:
                    await socket.wait_closed()
                assert socket.close_code == CloseCode.GOING_AWAY
                assert await access_lines(tmp_path / "log", 1) == [{"status": 101, "error": "response_idle_timeout"}]


Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_tunnel(served: Served, ahead: bytes = b"") -> AsyncIterator[Client]:
    """A tunnel to a server that does this after the handshake's head."""
    result = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await served(reader, writer)
            result.set_result(None)
        except BaseException as exc:
            result.set_exception(exc)
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        with one_worker(service([[server.sockets[0].getsockname()[1]]])) as worker:
            async with connected(worker.address) as client:
                client.writer.write(HANDSHAKE + ahead)
                yield client
                await result
        server.close()


class TestBytes:
    async def test_what_the_client_sends_ahead_of_the_switch_is_kept_for_the_tunnel(self):
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCH)
            assert await reader.readexactly(10) == b"early bird"
            writer.write(b"worm")

        async with raw_tunnel(served, b"early bird") as client:
            assert (await client.receive()).status == 101
            assert await client.reader.read() == b"worm"

    async def test_what_the_server_sends_with_the_switch_follows_it(self):
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCH + b"welcome")

        async with raw_tunnel(served) as client:
            assert (await client.receive()).status == 101
            assert await client.reader.read() == b"welcome"

    async def test_a_client_that_ends_its_side_still_gets_everything(self):
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCH)
            assert await reader.read() == b"question" * 100_000
            writer.write(b"answer" * 100_000)

        async with raw_tunnel(served) as client:
            assert (await client.receive()).status == 101
            client.writer.write(b"question" * 100_000)
            client.writer.write_eof()
            assert await client.reader.read() == b"answer" * 100_000

    async def test_a_server_that_ends_its_side_still_gets_everything(self):
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCH + b"answer" * 100_000)
            writer.write_eof()
            assert await reader.read() == b"question" * 100_000

        async with raw_tunnel(served) as client:
            assert (await client.receive()).status == 101
            assert await client.reader.read() == b"answer" * 100_000
            client.writer.write(b"question" * 100_000)
            client.writer.write_eof()

    async def test_whoever_reads_slowly_gets_every_byte(self):
        """Both ends send more than all buffers hold before either reads."""
        amount = 32 * 1024 * 1024

        async def send_then_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(amount))
            drained = asyncio.create_task(writer.drain())
            left = amount
            while left:
                left -= len(await reader.read(65536))
            await drained

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SWITCH)
            await send_then_read(reader, writer)

        async with raw_tunnel(served) as client:
            assert (await client.receive()).status == 101
            await send_then_read(client.reader, client.writer)


def begin_events(connection: Connection, request: Request) -> None:
    connection.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")


class TestChanges:
    async def test_a_tunnel_outlives_a_change_of_weights_and_the_end_of_its_version(self):
        async with websocket_server() as old, websocket_server() as new:
            shop = service([[old], [new]], [1, 0])
            with one_worker(shop) as worker:
                async with opened(worker) as socket:
                    worker.serve(replace(shop, weights=(0.0, 1.0)))
                    assert await answers(socket, "one")
                    worker.serve(replace(shop, versions=shop.versions[1:], weights=(1.0,)))
                    assert await answers(socket, "two")
                    async with opened(worker) as other:
                        assert await answers(other, "three")
                        assert worker.slab.read_version(2)["in_flight"] == 1

    async def test_tunnels_of_a_draining_endpoint_end_at_its_deadline(self, tmp_path: Path):
        log = AccessLog("json", str(tmp_path / "log"), ("status", "error"))
        async with websocket_server() as port:
            shop = service([[port]], drain_timeout=0.1, drain_jitter=0.1)
            with one_worker(shop, access_log=log) as worker:
                sockets = [await opened(worker) for _ in range(5)]
                worker.serve(with_endpoint(shop, state="drain"))
                await asyncio.gather(*(socket.wait_closed() for socket in sockets))
                assert {socket.close_code for socket in sockets} == {CloseCode.GOING_AWAY}
                assert await access_lines(tmp_path / "log", 5) == [{"status": 101, "error": "draining"}] * 5
                assert worker.slab.read_endpoint(1)["in_flight"] == 0
                with pytest.raises(InvalidStatus):
                    await opened(worker)

    async def test_until_then_they_go_on_and_the_jitter_spreads_their_ends(self):
        async with websocket_server() as port:
            for timeout, jitter in ((1e6, 0.0), (0.0, 1e6)):
                shop = service([[port]], drain_timeout=timeout, drain_jitter=jitter)
                with one_worker(shop) as worker:
                    sockets = [await opened(worker) for _ in range(5)]
                    worker.serve(with_endpoint(shop, state="drain"))
                    for _ in range(3):
                        assert all([await answers(socket, "still here") for socket in sockets])
                    await asyncio.gather(*(socket.close() for socket in sockets))

    async def test_a_long_answer_of_a_draining_endpoint_ends_at_its_deadline_and_does_not_look_whole(self):
        async with echoes(1) as (events,):
            events.always = begin_events
            shop = service([[events.port]], drain_timeout=0.1, drain_jitter=0.0)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await client.reader.readuntil(b"data: 1\n\n\r\n")
                    worker.serve(with_endpoint(shop, state="drain"))
                    with pytest.raises(ConnectionResetError):
                        await client.reader.read()

    async def test_a_short_answer_of_a_draining_endpoint_is_not_touched(self):
        async with echoes(1) as (slow,):
            held: list[Connection] = []
            slow.always = lambda connection, request: held.append(connection)
            shop = service([[slow.port]], drain_timeout=0.0, drain_jitter=0.0)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await until(lambda: held)
                    worker.serve(with_endpoint(shop, state="drain"))
                    held[0].say()
                    assert (await client.receive()).port == slow.port
