"""Which endpoint of a version a request goes to: the less busy one, each in turn, by the hash of a key; slow start."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.snapshot import KeySource, Route, Service, SocketAddress
from tests.support.echo_upstream import Echo, answer, echoes, hold
from tests.support.one_client import ask, ask_together, connected
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.waiting import until

BY_USER = (KeySource("header", "x-user"),)
USERS = [f"user-{i}" for i in range(300)]


def one_version(some: Sequence[Echo], **fields: Any) -> Service:
    """A service whose only version has these endpoints."""
    return service([[echo.port for echo in some]], **fields)


def with_endpoint(shop: Service, at: int, **fields: Any) -> Service:
    """The same, but for one endpoint of the first version."""
    first, *others = shop.versions
    endpoints = tuple(
        replace(endpoint, **fields) if i == at else endpoint for i, endpoint in enumerate(first.endpoints)
    )
    return replace(shop, versions=(replace(first, endpoints=endpoints), *others))


async def ports(worker: OneWorker, count: int) -> list[int]:
    """Who answers so many requests, one after the other."""
    async with connected(worker.address) as client:
        return [(await client.ask()).port for _ in range(count)]


@asynccontextmanager
async def many_in_flight(worker: OneWorker, some: Sequence[Echo], count: int) -> AsyncIterator[None]:
    """So many requests at endpoints that hold them, until the end of the block."""
    for echo in some:
        echo.always = hold
    task = asyncio.create_task(ask_together(worker.address, count))
    await until(lambda: sum(len(echo.held) for echo in some) == count)
    yield
    for echo in some:
        echo.release(len(echo.held))
        echo.always = answer
    assert {one.status for one in await task} == {200}


class TestLeastRequest:
    async def test_a_busy_endpoint_gets_nothing_while_another_is_idle(self):
        async with echoes(3) as some:
            with one_worker(one_version(some)) as worker:
                async with many_in_flight(worker, some, 1):
                    (busy,) = (echo for echo in some if echo.held)
                    idle = [echo for echo in some if echo is not busy]
                    for echo in idle:
                        echo.always = answer
                    assert set(await ports(worker, 50)) == {echo.port for echo in idle}

    async def test_idle_endpoints_get_about_the_same(self):
        async with echoes(3) as some:
            with one_worker(one_version(some)) as worker:
                counts = Counter(await ports(worker, 600))
        assert len(counts) == 3
        assert min(counts.values()) > 120

    async def test_requests_at_once_spread(self):
        async with echoes(4) as some:
            with one_worker(one_version(some)) as worker:
                async with many_in_flight(worker, some, 40):
                    assert max(len(echo.held) for echo in some) <= 14


class TestRoundRobin:
    async def test_each_endpoint_in_turn(self):
        async with echoes(3) as some:
            with one_worker(one_version(some, balance="round-robin")) as worker:
                first, second, third, *rest = await ports(worker, 30)
        assert {first, second, third} == {echo.port for echo in some}
        assert rest == [first, second, third] * 9

    async def test_a_change_of_weights_does_not_begin_anew(self):
        async with echoes(3) as some:
            shop = one_version(some, balance="round-robin")
            with one_worker(shop) as worker:
                seen = []
                for i in range(12):
                    worker.serve(replace(shop, weights=(1.0 + i,)))
                    seen += await ports(worker, 1)
        assert seen == seen[:3] * 4
        assert len(set(seen)) == 3

    async def test_an_endpoint_that_is_down_is_left_out_of_the_turns(self):
        async with echoes(3) as some:
            shop = one_version(some, balance="round-robin")
            with one_worker(with_endpoint(shop, 1, state="down")) as worker:
                counts = Counter(await ports(worker, 30))
        assert counts == {some[0].port: 15, some[2].port: 15}


async def homes(worker: OneWorker) -> dict[str, int]:
    """Which endpoint each user finds."""
    async with connected(worker.address) as client:
        return {user: (await client.ask(X_User=user)).port for user in USERS}


class TestHash:
    async def test_a_key_finds_the_same_endpoint_again(self):
        async with echoes(3) as some:
            with one_worker(one_version(some, balance="hash", balance_key=BY_USER)) as worker:
                found = await homes(worker)
                assert await homes(worker) == found
        assert min(Counter(found.values()).values()) > 50

    @pytest.mark.parametrize("gone", [{"state": "down"}, {"state": "drain"}, {"healthy": False}])
    async def test_when_an_endpoint_goes_only_its_keys_move_and_when_it_comes_back_they_do(self, gone: dict[str, Any]):
        async with echoes(3) as some:
            shop = one_version(some, balance="hash", balance_key=BY_USER)
            with one_worker(shop) as worker:
                before = await homes(worker)
                worker.serve(with_endpoint(shop, 1, **gone))
                without = await homes(worker)
                worker.serve(shop)
                assert await homes(worker) == before
        assert some[1].port not in without.values()
        assert {user for user in USERS if without[user] != before[user]} == {
            user for user in USERS if before[user] == some[1].port
        }

    async def test_the_order_of_endpoints_does_not_matter(self):
        async with echoes(3) as some:
            found = []
            for order in (some, some[::-1]):
                with one_worker(one_version(order, balance="hash", balance_key=BY_USER)) as worker:
                    found.append(await homes(worker))
        assert found[0] == found[1]

    async def test_who_has_no_key_is_not_sent_to_one_endpoint_only(self):
        async with echoes(3) as some:
            with one_worker(one_version(some, balance="hash", balance_key=BY_USER)) as worker:
                assert set(await ports(worker, 50)) == {echo.port for echo in some}

    async def test_the_address_of_the_client_can_be_the_key(self):
        async with echoes(3) as some:
            with one_worker(one_version(some, balance="hash", balance_key=(KeySource("ip"),))) as worker:
                assert len(set(await ports(worker, 20))) == 1

    async def test_a_forced_route_uses_the_key_too(self):
        async with echoes(3) as some:
            shop = one_version(some, balance="hash", balance_key=BY_USER)
            with one_worker(shop) as worker:
                expected = await homes(worker)
            with one_worker(shop, routes=[Route("shop", version="v1")]) as worker:
                assert await homes(worker) == expected


class TestSlowStart:
    @pytest.mark.parametrize("balance", ["least-request", "round-robin"])
    async def test_an_endpoint_that_came_up_just_now_gets_little(self, balance: str):
        async with echoes(2) as some:
            shop = with_endpoint(one_version(some, balance=balance, slow_start=1e6), 0, warm_from=time.monotonic())
            with one_worker(shop) as worker:
                counts = Counter(await ports(worker, 600))
        assert 0 < counts[some[0].port] < 150

    async def test_an_endpoint_that_has_been_up_for_long_gets_its_part(self):
        async with echoes(2) as some:
            shop = with_endpoint(one_version(some, slow_start=1.0), 0, warm_from=time.monotonic() - 2)
            with one_worker(shop) as worker:
                counts = Counter(await ports(worker, 600))
        assert min(counts.values()) > 200

    async def test_in_the_middle_it_gets_about_half_of_its_turns(self):
        async with echoes(2) as some:
            shop = with_endpoint(one_version(some, slow_start=1e6), 0, warm_from=time.monotonic() - 5e5)
            with one_worker(shop) as worker:
                counts = Counter(await ports(worker, 1000))
        assert 150 < counts[some[0].port] < 350

    @pytest.mark.parametrize("balance", ["least-request", "round-robin"])
    @pytest.mark.parametrize("endpoints", [1, 2, 3])
    async def test_where_all_are_cold_all_are_used(self, balance: str, endpoints: int):
        async with echoes(endpoints) as some:
            shop = one_version(some, balance=balance, slow_start=1e6)
            for i in range(endpoints):
                shop = with_endpoint(shop, i, warm_from=time.monotonic())
            with one_worker(shop) as worker:
                assert len(set(await ports(worker, 100))) == endpoints


def at(*ports: int) -> tuple[SocketAddress, ...]:
    return tuple(("inet", "127.0.0.1", port) for port in ports)


class TestAddresses:
    """An endpoint whose name has several addresses, or gets others."""

    async def test_all_addresses_of_a_name_are_used(self):
        async with echoes(2) as some:
            shop = with_endpoint(one_version(some[:1], pool_idle=0), 0, sockets=at(*(echo.port for echo in some)))
            with one_worker(shop) as worker:
                assert Counter(await ports(worker, 10)) == {echo.port: 5 for echo in some}

    async def test_an_address_that_refuses_does_not_fail_the_request_while_another_takes_it(self):
        async with echoes(3) as (lively, *dead):
            for echo in dead:
                await echo.stop()
            sockets = at(dead[0].port, lively.port, dead[1].port)
            shop = with_endpoint(one_version([lively], pool_idle=0), 0, sockets=sockets)
            with one_worker(shop) as worker:
                assert await ports(worker, 10) == [lively.port] * 10
                assert worker.slab.read_endpoint(1)["outcomes"][2] == 0

    async def test_where_every_address_refuses_the_request_fails_once(self):
        async with echoes(2) as some:
            for echo in some:
                await echo.stop()
            shop = with_endpoint(one_version(some[:1]), 0, sockets=at(*(echo.port for echo in some)))
            with one_worker(shop) as worker:
                failed = await ask(worker.address)
                assert (failed.status, failed.headers["proxy-status"]) == (502, "serinus; error=connection_refused")
                assert worker.slab.read_endpoint(1)["outcomes"][2] == 1

    async def test_a_name_that_leads_elsewhere_is_followed_at_once(self):
        async with echoes(2) as (old, new):
            shop = with_endpoint(one_version([old]), 0, address="shop.example:80")
            with one_worker(shop) as worker:
                assert await ports(worker, 2) == [old.port] * 2
                worker.serve(with_endpoint(shop, 0, sockets=at(new.port)))
                assert await ports(worker, 2) == [new.port] * 2

    async def test_a_connection_to_the_old_address_is_not_used_again_after_its_request(self):
        async with echoes(2) as (old, new):
            old.script.append(hold)
            shop = with_endpoint(one_version([old]), 0, address="shop.example:80")
            with one_worker(shop) as worker:
                async with connected(worker.address) as client:
                    client.send()
                    await old.has_held(1)
                    worker.serve(with_endpoint(shop, 0, sockets=at(new.port)))
                    old.release()
                    assert (await client.receive()).port == old.port
                    assert (await client.ask()).port == new.port
