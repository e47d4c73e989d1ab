"""A second attempt: on another endpoint, only where that is safe, within a budget, and counted where it failed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.core.outcome import Outcome
from proxy.core.snapshot import Retries, Service, Timeouts
from tests.support.echo_upstream import Act, Connection, Echo, Request, answer, close, echoes, hold, reset, status
from tests.support.one_client import ask, connected
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.waiting import until

SAFE = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]
UNSAFE = ["POST", "PATCH", "REPORT"]
ALWAYS = Retries(budget=1.0, budget_min=1000)


def in_turn(some: Sequence[Echo], **fields: Any) -> Service:
    """One version whose endpoints are asked one after the other, the second first; nothing is ejected."""
    fields = {"balance": "round-robin", "ejection": None, "retries": ALWAYS, **fields}
    return service([[echo.port for echo in some]], **fields)


async def outcomes(worker: OneWorker, slot: int) -> dict[str, int]:
    """What became of the attempts at an endpoint, without zeros, when all are over."""
    await until(lambda: worker.slab.read_version(1)["in_flight"] == 0)
    counts = worker.slab.read_endpoint(slot)["outcomes"]
    return {outcome.label: counts[outcome] for outcome in Outcome if counts[outcome]}


class TestConnecting:
    @pytest.mark.parametrize("method", SAFE + UNSAFE)
    async def test_a_refused_connection_is_tried_elsewhere_whatever_the_method_as_nothing_was_sent(self, method: str):
        async with echoes(2) as (lively, dead):
            await dead.stop()
            with one_worker(in_turn([lively, dead])) as worker:
                assert (await ask(worker.address, method=method)).status == 200
                assert [await outcomes(worker, slot) for slot in (1, 2)] == [{"ok": 1}, {"connect_error": 1}]
                assert worker.slab.read_version(1)["retries"] == 1
                await until(lambda: worker.slab.read_version(1)["requests"] == {200: 1})

    async def test_a_body_of_any_size_is_sent_after_a_refused_connection(self):
        body = bytes(range(256)) * 4096
        async with echoes(2) as (lively, dead):
            await dead.stop()
            with one_worker(in_turn([lively, dead])) as worker:
                assert (await ask(worker.address, "/", "POST", body)).status == 200
            assert lively.requests[0].body == body

    async def test_a_websocket_whose_endpoint_refuses_goes_to_another(self):
        async with echoes(2) as (lively, dead):
            await dead.stop()
            with one_worker(in_turn([lively, dead])) as worker:
                refused = await ask(worker.address, Connection="Upgrade", Upgrade="websocket")
            assert (refused.status, lively.requests[0].headers["upgrade"]) == (200, "websocket")

    async def test_a_version_with_one_endpoint_has_no_other(self):
        async with echoes(1) as (dead,):
            await dead.stop()
            with one_worker(in_turn([dead])) as worker:
                assert (await ask(worker.address)).status == 502
                assert await outcomes(worker, 1) == {"connect_error": 1}


class TestAfterTheRequest:
    @pytest.mark.parametrize("failure", [reset, close])
    @pytest.mark.parametrize("method", SAFE)
    async def test_an_idempotent_request_that_was_not_answered_is_asked_elsewhere(self, failure: Act, method: str):
        async with echoes(2) as (good, bad):
            bad.always = failure
            with one_worker(in_turn([good, bad])) as worker:
                assert (await ask(worker.address, "/x", method)).status == 200
                assert [await outcomes(worker, slot) for slot in (1, 2)] == [{"ok": 1}, {"reset": 1}]
            assert [request.method for request in good.requests + bad.requests] == [method, method]

    @pytest.mark.parametrize("failure", [reset, close])
    @pytest.mark.parametrize("method", UNSAFE)
    async def test_any_other_request_is_not_as_it_may_have_had_its_effect(self, failure: Act, method: str):
        async with echoes(2) as (good, bad):
            bad.always = failure
            with one_worker(in_turn([good, bad])) as worker:
                failed = await ask(worker.address, "/x", method)
                assert (failed.status, failed.headers["proxy-status"]) == (502, "serinus; error=connection_terminated")
                assert await outcomes(worker, 2) == {"reset": 1}
            assert good.requests == []

    async def test_a_small_body_is_kept_and_sent_again(self):
        body = bytes(range(256)) * 64
        async with echoes(2) as (good, bad):
            bad.always = reset
            with one_worker(in_turn([good, bad])) as worker:
                assert (await ask(worker.address, "/", "PUT", body)).status == 200
            assert good.requests[0].body == bad.requests[0].body == body

    async def test_a_large_body_is_not_kept(self):
        async with echoes(2) as (good, bad):
            bad.always = reset
            with one_worker(in_turn([good, bad])) as worker:
                assert (await ask(worker.address, "/", "PUT", bytes(1_000_000))).status == 502
            assert good.requests == []

    async def test_an_idle_connection_that_was_just_closed_is_nobody_s_failure(self):
        """The same attempt goes on with a new connection to the same endpoint."""
        async with echoes(1) as (echo,):
            echo.script += [answer, close]
            with one_worker(in_turn([echo])) as worker:
                async with connected(worker.address) as client:
                    assert (await client.ask("/1")).status == 200
                    assert (await client.ask("/2")).status == 200
                assert await outcomes(worker, 1) == {"ok": 2}
                assert worker.slab.read_version(1)["retries"] == 0
            assert echo.targets == ["/1", "/2", "/2"]

    async def test_a_request_that_is_not_idempotent_is_not_sent_again_even_then(self):
        async with echoes(1) as (echo,):
            echo.script += [answer, close]
            with one_worker(in_turn([echo])) as worker:
                async with connected(worker.address) as client:
                    assert (await client.ask("/1")).status == 200
                    assert (await client.ask("/2", "POST")).status == 502
            assert echo.targets == ["/1", "/2"]

    async def test_what_has_begun_to_be_answered_is_not_asked_again(self):
        async with echoes(2) as (good, bad):
            bad.always = cut_answer
            with one_worker(in_turn([good, bad])) as worker:
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await ask(worker.address)
                assert await outcomes(worker, 2) == {"reset": 1}
            assert good.requests == []

    async def test_half_a_head_is_no_answer_yet(self):
        async with echoes(2) as (good, bad):
            bad.always = half_a_head
            with one_worker(in_turn([good, bad])) as worker:
                assert (await ask(worker.address)).port == good.port

    async def test_after_early_hints_there_is_no_second_attempt(self):
        async with echoes(2) as (good, bad):
            bad.always = hints_only
            with one_worker(in_turn([good, bad])) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    assert [(await client.receive()).status for _ in range(2)] == [103, 502]
            assert good.requests == []


def cut_answer(connection: Connection, request: Request) -> None:
    connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbeginning")
    connection.transport.close()


def half_a_head(connection: Connection, request: Request) -> None:
    connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-")
    connection.transport.close()


def hints_only(connection: Connection, request: Request) -> None:
    connection.transport.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    connection.transport.close()


Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(served: Served) -> AsyncIterator[int]:
    """A port at which this happens with each connection."""
    server = await asyncio.start_server(served, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        server.close()


class TestBodiesOnTheWay:
    async def test_a_body_whose_endpoint_resets_in_the_middle_reaches_the_next_one_whole(self):
        """The worker is stopped, so that it sees the client's second part before the reset, but after it happened."""
        got_first, may_reset, has_reset = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"first")
            got_first.set()
            await may_reset.wait()
            writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER
            writer.transport.abort()
            has_reset.set()

        async with echoes(1) as (good,), serving(resets) as bad:
            shop = service([[good.port, bad]], balance="round-robin", retries=ALWAYS)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\nfirst")
                    await got_first.wait()
                    worker.program.send_signal(signal.SIGSTOP)
                    client.writer.write(b"second")
                    may_reset.set()
                    await has_reset.wait()
                    worker.program.send_signal(signal.SIGCONT)
                    await until(lambda: good.accepted)
                    client.writer.write(b"third")
                    assert (await client.receive()).port == good.port
            assert good.requests[0].body == b"firstsecondthird"

    async def test_chunks_that_were_dropped_on_the_way_are_not_taken_for_the_whole_body(self):
        got_first, may_reset, has_reset = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"first")
            got_first.set()
            await may_reset.wait()
            writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER
            writer.transport.abort()
            has_reset.set()

        async with echoes(1) as (good,), serving(resets) as bad:
            shop = service([[good.port, bad]], balance="round-robin", retries=ALWAYS)
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    client.writer.write(
                        b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
                    )
                    await got_first.wait()
                    worker.program.send_signal(signal.SIGSTOP)
                    client.writer.write(b"6\r\nsecond\r\n5\r\nthird\r\n6\r\nfourth\r\n0\r\n\r\n")
                    may_reset.set()
                    await has_reset.wait()
                    worker.program.send_signal(signal.SIGCONT)
                    one = await client.receive()
            bodies = [b"".join(request.body.split(b"\r\n")[1::2]) for request in good.requests]
            assert (one.status, bodies) in [(502, []), (200, [b"firstsecondthirdfourth"])]


class TestWhen:
    @pytest.mark.parametrize("code", [500, 502, 503, 504])
    async def test_an_error_of_the_endpoint_is_passed_on_by_default(self, code: int):
        async with echoes(2) as (good, bad):
            bad.always = status(code)
            with one_worker(in_turn([good, bad])) as worker:
                assert (await ask(worker.address)).status == code
                assert await outcomes(worker, 2) == {"5xx": 1}
            assert good.requests == []

    async def test_an_error_of_the_endpoint_is_retried_where_that_is_wanted_and_safe(self):
        async with echoes(2) as (good, bad):
            bad.always = status(503)
            with one_worker(in_turn([good, bad], retries=Retries(on=frozenset({"5xx"})))) as worker:
                assert (await ask(worker.address)).port == good.port
                assert [await outcomes(worker, slot) for slot in (1, 2)] == [{"ok": 1}, {"5xx": 1}]
                assert (await ask(worker.address, method="POST")).status == 503

    async def test_the_error_of_the_last_endpoint_is_passed_on_as_it_is(self):
        wanted = Retries(attempts=3, on=frozenset({"5xx"}))
        async with echoes(1) as (only,):
            only.always = lambda connection, request: connection.say(503, b"my own words")
            with one_worker(in_turn([only], retries=wanted)) as worker:
                one = await ask(worker.address)
                assert (one.status, one.body) == (503, b"my own words")
                assert await outcomes(worker, 1) == {"5xx": 1}

    async def test_a_timeout_is_retried_where_that_is_wanted(self):
        for wanted, code in ((frozenset({"timeout"}), 200), (Retries().on, 504)):
            async with echoes(2) as (good, bad):
                bad.always = hold
                retries = Retries(on=wanted, budget_min=10)
                shop = in_turn([good, bad], retries=retries, timeouts=Timeouts(response=0.05))
                with one_worker(shop) as worker:
                    assert (await ask(worker.address)).status == code
                    assert await outcomes(worker, 2) == {"timeout": 1}

    async def test_without_the_word_a_refused_connection_is_not_retried(self):
        async with echoes(2) as (good, dead):
            await dead.stop()
            with one_worker(in_turn([good, dead], retries=Retries(on=frozenset({"reset"})))) as worker:
                assert (await ask(worker.address)).status == 502


class TestHowOften:
    @pytest.mark.parametrize("attempts", [0, 1, 2, 5])
    async def test_a_request_is_tried_again_as_often_as_the_service_says(self, attempts: int):
        async with echoes(3) as some:
            for echo in some:
                echo.always = reset
            retries = Retries(attempts=attempts, budget_min=100)
            with one_worker(in_turn(some, retries=retries)) as worker:
                assert (await ask(worker.address)).status == 502
                assert worker.slab.read_version(1)["retries"] == attempts
            assert sum(len(echo.requests) for echo in some) == 1 + attempts

    @pytest.mark.parametrize("budget", [0.0, 0.1, 0.2])
    async def test_retries_are_at_most_their_share_of_the_requests(self, budget: float):
        """Half of the requests meet the dead endpoint first, more than the budget pays for."""
        async with echoes(2) as (good, dead):
            await dead.stop()
            with one_worker(in_turn([good, dead], retries=Retries(budget=budget, budget_min=0))) as worker:
                async with connected(worker.address) as client:
                    for _ in range(200):
                        await client.ask()
                assert abs(worker.slab.read_version(1)["retries"] - budget * 200) <= 1

    async def test_a_change_of_weights_does_not_fill_the_budget(self):
        async with echoes(2) as (good, dead):
            await dead.stop()
            shop = in_turn([good, dead], retries=Retries(budget=0.0, budget_min=0))
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    for _ in range(20):
                        worker.serve(shop)
                        await client.ask()
                assert worker.slab.read_version(1)["retries"] == 0
