"""A limited endpoint gets no more requests at once than it may; others wait in order, not too many, not too long."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.snapshot import Service, Timeouts
from tests.support.echo_upstream import echoes, hold
from tests.support.one_client import Answer, ask, connected
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.waiting import until

UNAVAILABLE = 6  # of proxy.core.outcome.Outcome
LONG = Timeouts(queue=1000.0)


def limited(*ports: int, limit: int = 1, queue: int = 64, **fields: Any) -> Service:
    shop = service([ports], **{"timeouts": LONG, **fields})
    return replace(shop, versions=(replace(shop.versions[0], max_connections=limit, queue=queue),))


def fault(one: Answer) -> tuple[int, str]:
    return one.status, one.headers["proxy-status"]


FULL = (503, "serinus; error=connection_limit_reached")


async def in_order(worker: OneWorker, targets: list[str]) -> list[asyncio.Task[Answer]]:
    """Ask for these, each when the one before it is in flight or waits."""
    tasks = []
    for target in targets:
        before = chosen(worker)
        tasks.append(asyncio.create_task(ask(worker.address, target)))
        await has_chosen(worker, before + 1)
    return tasks


def chosen(worker: OneWorker) -> int:
    return worker.slab.read_version(1)["chosen"]


async def has_chosen(worker: OneWorker, count: int) -> None:
    """Wait until so many requests have reached the version: they are in flight, wait, or were answered."""
    await until(lambda: chosen(worker) >= count)


class TestLimit:
    @pytest.mark.parametrize("limit", [1, 2, 5])
    async def test_there_are_never_more_requests_at_an_endpoint_than_it_may_have(self, limit: int):
        async with echoes(1) as (echo,):
            echo.always = hold
            with one_worker(limited(echo.port, limit=limit)) as worker:
                tasks = await in_order(worker, [f"/{i}" for i in range(10)])
                for _ in range(10):
                    await echo.has_held(1)
                    assert len(echo.held) <= limit
                    assert worker.slab.read_endpoint(1)["in_flight"] <= limit
                    echo.release()
                assert [task.status for task in await asyncio.gather(*tasks)] == [200] * 10
            assert echo.accepted <= limit

    async def test_who_waits_goes_in_the_order_of_arrival(self):
        async with echoes(1) as (echo,):
            echo.script.append(hold)
            with one_worker(limited(echo.port)) as worker:
                targets = [f"/{i}" for i in range(8)]
                tasks = await in_order(worker, targets)
                assert echo.targets == ["/0"]
                echo.release()
                await asyncio.gather(*tasks)
            assert echo.targets == targets

    async def test_another_endpoint_with_room_is_used_before_anyone_waits(self):
        async with echoes(3) as some:
            for echo in some:
                echo.always = hold
            with one_worker(limited(*(echo.port for echo in some), limit=2)) as worker:
                tasks = await in_order(worker, [f"/{i}" for i in range(6)])
                await until(lambda: [len(echo.held) for echo in some] == [2, 2, 2])
                for echo in some:
                    echo.release(2)
                await asyncio.gather(*tasks)

    async def test_without_a_limit_nobody_waits(self):
        async with echoes(1) as (echo,):
            echo.always = hold
            with one_worker(limited(echo.port, limit=0, queue=0)) as worker:
                tasks = [asyncio.create_task(ask(worker.address)) for _ in range(50)]
                await echo.has_held(50)
                echo.release(50)
                assert {one.status for one in await asyncio.gather(*tasks)} == {200}

    async def test_a_limit_that_is_raised_lets_later_requests_in(self):
        async with echoes(1) as (echo,):
            echo.always = hold
            with one_worker(limited(echo.port)) as worker:
                tasks = await in_order(worker, ["/0"])
                worker.serve(limited(echo.port, limit=2))
                tasks += await in_order(worker, ["/1"])
                await echo.has_held(2)
                echo.release(2)
                await asyncio.gather(*tasks)


class TestQueue:
    @pytest.mark.parametrize("queue", [0, 1, 3])
    async def test_a_full_queue_answers_503_at_once(self, queue: int):
        async with echoes(1) as (echo,):
            echo.script.append(hold)
            with one_worker(limited(echo.port, queue=queue)) as worker:
                tasks = await in_order(worker, [f"/{i}" for i in range(1 + queue)])
                assert fault(await ask(worker.address)) == FULL
                assert worker.slab.read_version(1)["unavailable"] == 1
                echo.release()
                assert {one.status for one in await asyncio.gather(*tasks)} == {200}

    async def test_who_waits_too_long_gets_503_and_the_others_go_on(self):
        async with echoes(1) as (echo,):
            echo.script.append(hold)
            with one_worker(limited(echo.port, timeouts=Timeouts(queue=0.01))) as worker:
                async with connected(worker.address) as first:
                    first.send()
                    await echo.has_held(1)
                    for _ in range(3):
                        assert fault(await ask(worker.address)) == FULL
                    assert worker.slab.read_version(1)["unavailable"] == 3
                    assert worker.slab.read_endpoint(0)["outcomes"][UNAVAILABLE] == 3
                    echo.release()
                    assert (await first.receive()).status == 200
                    assert (await ask(worker.address)).status == 200

    async def test_the_wait_is_limited_for_a_request_whose_body_came_late_too(self):
        async with echoes(1) as (echo,):
            echo.script.append(hold)
            with one_worker(limited(echo.port, timeouts=Timeouts(queue=0.5))) as worker:
                async with connected(worker.address) as first, connected(worker.address) as late:
                    first.send()
                    await echo.has_held(1)
                    late.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
                    await has_chosen(worker, 2)
                    late.writer.write(b"body")
                    assert fault(await late.receive()) == FULL
                    echo.release()
                    await first.receive()

    async def test_a_body_that_came_while_waiting_is_sent_whole(self):
        async with echoes(1) as (echo,):
            echo.script.append(hold)
            with one_worker(limited(echo.port)) as worker:
                async with connected(worker.address) as first, connected(worker.address) as other:
                    first.send()
                    await echo.has_held(1)
                    body = bytes(range(256)) * 4096
                    other.writer.write(
                        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:1000]
                    )
                    await has_chosen(worker, 2)
                    other.writer.write(body[1000:])
                    echo.release()
                    assert (await other.receive()).status == 200
            assert echo.requests[1].body == body

    async def test_a_client_that_goes_away_while_waiting_leaves_the_queue(self):
        async with echoes(1) as (echo,):
            echo.script.append(hold)
            with one_worker(limited(echo.port, queue=1)) as worker:
                tasks = await in_order(worker, ["/0"])
                async with connected(worker.address) as leaving:
                    leaving.send("/left")
                    await has_chosen(worker, 2)
                    assert fault(await ask(worker.address)) == FULL
                    leaving.reset()
                    await until(lambda: worker.slab.read_worker()["connections"] == 1)
                tasks += await in_order(worker, ["/1"])
                echo.release()
                assert {one.status for one in await asyncio.gather(*tasks)} == {200}
            assert echo.targets == ["/0", "/1"]

    async def test_an_endpoint_that_fails_with_many_waiting_fails_each_of_them_once(self):
        async with echoes(1) as (echo,):
            echo.script.append(hold)
            with one_worker(limited(echo.port, ejection=None)) as worker:
                tasks = await in_order(worker, [f"/{i}" for i in range(20)])
                await echo.stop()
                assert {one.status for one in await asyncio.gather(*tasks)} == {502}
                assert worker.slab.read_endpoint(1)["in_flight"] == 0
                await echo.listen()
                assert (await ask(worker.address)).status == 200

    async def test_an_endpoint_that_is_taken_down_hands_those_that_wait_to_another(self):
        async with echoes(2) as (old, new):
            old.script.append(hold)
            shop = limited(old.port, new.port)
            first, second = shop.versions[0].endpoints
            only_old, only_new = (
                replace(shop, versions=(replace(shop.versions[0], endpoints=endpoints),))
                for endpoints in ((first, replace(second, state="down")), (replace(first, state="down"), second))
            )
            with one_worker(only_old) as worker:
                tasks = await in_order(worker, ["/0", "/1", "/2"])
                worker.serve(only_new)
                assert [task.port for task in await asyncio.gather(*tasks[1:])] == [new.port] * 2
                old.release()
                assert (await tasks[0]).port == old.port

    async def test_pipelined_requests_wait_one_after_the_other(self):
        async with echoes(1) as (echo,):
            echo.script.append(hold)
            with one_worker(limited(echo.port)) as worker:
                async with connected(worker.address) as first, connected(worker.address) as other:
                    first.send("/0")
                    await echo.has_held(1)
                    for i in range(1, 6):
                        other.send(f"/{i}")
                    echo.release()
                    assert [(await other.receive()).status for _ in range(5)] == [200] * 5
            assert echo.targets == [f"/{i}" for i in range(6)]
