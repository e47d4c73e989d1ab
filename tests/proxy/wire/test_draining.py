"""A worker that stops: it answers what it was asked, says that each connection ends, and ends with exit code 0."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.core.snapshot import AccessLog, Service
from tests.support.access_lines import access_lines
from tests.support.echo_upstream import Echo, echoes, hold
from tests.support.frames import CLOSE, GOING_AWAY, frame, masked
from tests.support.one_client import Client, connected
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.waiting import until
from tests.support.websocket_ends import HANDSHAKE

SWITCH = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def shop(echo: Echo) -> Service:
    return service([[echo.port]])


async def has_drained(worker: OneWorker) -> None:
    """Wait for its word, and for its end."""
    await asyncio.to_thread(worker.hear, "drained")
    assert await asyncio.to_thread(worker.program.wait) == 0


async def is_closed(client: Client) -> bool:
    return await client.reader.read() == b""


class TestAnswers:
    async def test_the_next_answer_on_an_open_connection_is_its_last(self):
        async with echoes(1) as (echo,):
            with one_worker(shop(echo)) as worker:
                async with connected(worker.address) as client:
                    assert "connection" not in (await client.ask()).headers
                    worker.say("drain", 1000.0)
                    last = await client.ask()
                    assert (last.port, last.headers["connection"]) == (echo.port, "close")
                    assert await is_closed(client)
                await has_drained(worker)

    async def test_a_request_in_flight_is_answered(self):
        async with echoes(1) as (echo,):
            echo.always = hold
            with one_worker(shop(echo)) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await echo.has_held(1)
                    worker.say("drain", 1000.0)
                    echo.release()
                    last = await client.receive()
                    assert (last.port, last.headers["connection"]) == (echo.port, "close")
                    assert await is_closed(client)
                await has_drained(worker)

    async def test_a_body_on_its_way_arrives(self):
        async with echoes(1) as (echo,):
            with one_worker(shop(echo)) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst")
                    await until(lambda: worker.slab.read_version(1)["in_flight"])
                    worker.say("drain", 1000.0)
                    client.writer.write(b"later")
                    assert (await client.receive()).port == echo.port
                await has_drained(worker)
            assert echo.requests[0].body == b"firstlater"

    async def test_a_connection_that_was_opened_but_asked_nothing_yet_may_still_ask(self):
        async with echoes(1) as (echo,):
            with one_worker(shop(echo)) as worker:
                async with connected(worker.address) as client:
                    await until(lambda: worker.slab.read_worker()["connections"] == 1)
                    worker.say("drain", 1000.0)
                    assert (await client.ask()).headers["connection"] == "close"
                await has_drained(worker)

    async def test_connections_that_wait_to_be_accepted_are_served(self):
        """The worker is stopped, so that they stay in the queue of the listening socket until the drain begins."""
        async with echoes(1) as (echo,):
            with one_worker(shop(echo)) as worker:
                worker.program.send_signal(signal.SIGSTOP)
                async with AsyncExitStack() as stack:
                    clients = [await stack.enter_async_context(connected(worker.address)) for _ in range(100)]
                    for client in clients:
                        client.send()
                    draining = asyncio.create_task(asyncio.to_thread(worker.say, "drain", 1000.0))
                    worker.program.send_signal(signal.SIGCONT)
                    answers = await asyncio.gather(*(client.receive() for client in clients))
                    assert await draining is None
                    assert {(one.status, one.headers["connection"]) for one in answers} == {(200, "close")}
                await has_drained(worker)


class TestEnd:
    async def test_an_idle_worker_ends_at_once(self):
        async with echoes(1) as (echo,):
            with one_worker(shop(echo)) as worker:
                worker.say("drain", 1000.0)
                await has_drained(worker)

    async def test_new_connections_are_refused(self):
        async with echoes(1) as (echo,):
            echo.always = hold
            with one_worker(shop(echo)) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await echo.has_held(1)
                    worker.say("drain", 1000.0)
                    with pytest.raises(ConnectionRefusedError):
                        await asyncio.open_connection(*worker.address)
                    echo.release()
                    await client.receive()
                await has_drained(worker)

    async def test_idle_connections_are_closed_after_a_while(self):
        async with echoes(1) as (echo,):
            with one_worker(shop(echo)) as worker:
                async with connected(worker.address) as used, connected(worker.address) as unused:
                    await used.ask()
                    await until(lambda: worker.slab.read_worker()["connections"] == 2)
                    worker.say("drain", 0.2)
                    assert await is_closed(used)
                    assert await is_closed(unused)
                    await has_drained(worker)

    async def test_what_is_not_done_in_time_is_cut_and_counted_as_the_proxy_s_doing(self, tmp_path: Path):
        log = AccessLog("json", str(tmp_path / "log"), ("status", "error"))
        async with echoes(1) as (echo,):
            echo.always = hold
            with one_worker(shop(echo), access_log=log) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await echo.has_held(1)
                    worker.say("drain", 0.1)
                    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                        await client.receive()
                    await has_drained(worker)
            assert await access_lines(tmp_path / "log", 1) == [{"status": 503, "error": "draining"}]

    async def test_the_word_of_a_signal_counts_as_well_with_the_time_of_the_settings(self):
        async with echoes(1) as (echo,):
            echo.always = hold
            with one_worker(shop(echo), drain_timeout=0.1) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await echo.has_held(1)
                    worker.program.send_signal(signal.SIGTERM)
                    await has_drained(worker)

    async def test_a_second_word_changes_nothing(self):
        async with echoes(1) as (echo,):
            echo.always = hold
            with one_worker(shop(echo)) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await echo.has_held(1)
                    worker.say("drain", 1000.0)
                    worker.say("drain", 0.0)
                    echo.release()
                    assert (await client.receive()).status == 200
                await has_drained(worker)

    async def test_changes_are_still_served_meanwhile(self):
        async with echoes(2) as (old, new):
            with one_worker(shop(old)) as worker:
                async with connected(worker.address) as client:
                    await client.ask()
                    worker.say("drain", 1000.0)
                    worker.serve(shop(new))
                    assert (await client.ask()).port == new.port
                await has_drained(worker)

    async def test_a_tunnel_goes_on_until_the_end_of_the_drain(self):
        """One that speaks no WebSocket frames; for others see test_leaving.py."""

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(SWITCH)
            writer.write(await reader.readexactly(4))
            await reader.read()
            writer.close()

        server = await asyncio.start_server(served, "127.0.0.1", 0)
        async with server:
            with one_worker(service([[server.sockets[0].getsockname()[1]]])) as worker:
                async with connected(worker.address) as client:
                    client.send(Connection="Upgrade", Upgrade="websocket")
                    assert (await client.receive()).status == 101
                    worker.say("drain", 3.0)
                    client.writer.write(b"ping")
                    assert await client.reader.readexactly(4) == b"ping"
                    with pytest.raises(ConnectionResetError):
                        await client.reader.read()
                await has_drained(worker)
            server.close()

    async def test_a_tunnel_that_opens_during_the_drain_is_told_1001_before_its_end(self):
        asked, open_it = asyncio.Event(), asyncio.Event()

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await open_it.wait()
            writer.write(SWITCH)
            assert await reader.read() == masked(GOING_AWAY, CLOSE)
            writer.close()

        server = await asyncio.start_server(served, "127.0.0.1", 0)
        async with server:
            with one_worker(service([[server.sockets[0].getsockname()[1]]])) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(HANDSHAKE)
                    await asked.wait()
                    worker.say("drain", 8.0)
                    open_it.set()
                    assert (await client.receive()).status == 101
                    assert await client.reader.readexactly(4) == frame(GOING_AWAY, CLOSE)
                    client.writer.write(masked(GOING_AWAY, CLOSE))
                    assert await client.reader.read() == b""
                await has_drained(worker)
            server.close()
