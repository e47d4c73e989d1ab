"""The prober: it follows the live state, and a flip needs as many probes as the file says."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from proxy import checks
from proxy.checks import Prober, Stalls
from proxy.core.live import Live, add_endpoint, remove_endpoint
from proxy.core.serving import literal_sockets
from tests.support.endpoints import OK, Endpoint, free_address
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.lives import NEVER, a_config, a_live
from tests.support.waiting import until

UNWELL = b"HTTP/1.1 503 No\r\n\r\n"
OFTEN = {"path": "/healthz", "interval": "10ms", "timeout": "2s", "rise": 2, "fall": 3}


def a_shop(*addresses: str, **health: Any) -> Live:
    """One service with one version; without `health`, it is not checked."""
    shop = {"versions": {"stable": {"endpoints": addresses}}, "health": health or "off"}
    return a_live(a_config({"shop": shop}))


class Watched:
    """A supervisor whose endpoints are probed."""

    def __init__(self, live: Live, **options: Any) -> None:
        self.supervisor = FakeSupervisor(live)
        self.prober = Prober(self.supervisor, **options)

    def is_up(self, address: str) -> bool:
        return self.supervisor.health_of("shop", "stable", address).healthy

    def detail(self, address: str) -> str:
        return self.supervisor.health_of("shop", "stable", address).detail

    @asynccontextmanager
    async def probing(self) -> AsyncIterator["Watched"]:
        running = asyncio.create_task(self.prober.run())
        try:
            yield self
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


@pytest.fixture(autouse=True)
def _notices_changes_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PERIOD", 0.005)


async def test_an_endpoint_that_fails_goes_down_and_comes_up_again():
    async with Endpoint().serving() as endpoint, Watched(a_shop(endpoint.address, **OFTEN)).probing() as watched:
        at = endpoint.address
        assert watched.is_up(at)
        endpoint.answer = UNWELL
        await until(lambda: not watched.is_up(at))
        assert watched.detail(at) == f"GET http://{at}/healthz: 503 No, wanted 200-399"
        endpoint.answer = OK
        await until(lambda: watched.is_up(at))
        assert watched.detail(at) == f"GET http://{at}/healthz: 200 OK"


async def test_every_failed_probe_is_told_and_how_many_are_missing():
    at = free_address()
    async with Watched(a_shop(at, **OFTEN)).probing() as watched:
        await until(lambda: not watched.is_up(at))
    refused = f"GET http://{at}/healthz: Connection refused (ECONNREFUSED)"
    assert watched.supervisor.told == [
        (at, True, f"{refused} (1 of 3)"),
        (at, True, f"{refused} (2 of 3)"),
        (at, False, refused),
    ]


class TestTheStart:
    async def test_an_optimistic_one_serves_at_once(self):
        at = free_address()
        watched = Watched(a_shop(at, **{**OFTEN, "interval": "1h"}))
        async with watched.probing():
            await until(lambda: len(watched.prober._chores))
        assert watched.is_up(at)

    async def test_else_an_endpoint_is_down_until_its_first_good_probe(self):
        async with Endpoint(UNWELL).serving() as endpoint:
            at = endpoint.address
            async with Watched(a_shop(at, **OFTEN, optimistic=False)).probing() as watched:
                await until(lambda: endpoint.connections > 4)
                assert not watched.is_up(at)
                endpoint.answer = OK
                await until(lambda: watched.is_up(at))

    async def test_probes_are_spread_over_the_interval_and_jitter_keeps_them_apart(self):
        drawn: list[tuple[float, float]] = []

        def draw(low: float, high: float) -> float:
            drawn.append((low, high))
            return 3600.0 if len(drawn) > 5 else 0.0

        addresses = [free_address() for _ in range(4)]
        watched = Watched(a_shop(*addresses, **{**OFTEN, "interval": "30s", "jitter": "10%"}), draw=draw)
        async with watched.probing():
            await until(lambda: len(drawn) >= 6)
        assert drawn[:6] == [(0, 30.0)] * 4 + [(0.9, 1.1)] * 2


class TestChanges:
    async def test_a_new_endpoint_is_down_until_its_first_good_probe_which_comes_at_once(self):
        live = a_shop(free_address(), **{**OFTEN, "interval": "1h"})
        async with Endpoint().serving() as endpoint, Watched(live).probing() as watched:
            at = endpoint.address
            await until(lambda: len(watched.prober._chores) == 1)
            watched.supervisor.live = add_endpoint(live, "shop", "stable", at, NEVER)
            assert not watched.is_up(at)
            await until(lambda: watched.is_up(at))
        assert watched.supervisor.told == [(at, True, f"GET http://{at}/healthz: 200 OK")]

    async def test_a_removed_endpoint_is_not_probed_any_more(self):
        async with Endpoint().serving() as endpoint:
            live = a_shop(endpoint.address, free_address(), **OFTEN)
            async with Watched(live).probing() as watched:
                await until(lambda: endpoint.connections)
                watched.supervisor.live = remove_endpoint(live, "shop", "stable", endpoint.address, NEVER)
                await until(lambda: len(watched.prober._chores) == 1)
                assert endpoint.address not in str(watched.prober._health)

    async def test_other_checks_apply_at_once_and_keep_what_is_known(self):
        async with Endpoint(UNWELL).serving() as endpoint:
            at = endpoint.address
            async with Watched(a_shop(at, **OFTEN)).probing() as watched:
                await until(lambda: not watched.is_up(at))
                watched.supervisor.live = a_shop(at, **{**OFTEN, "path": "/other", "rise": 3})
                await until(lambda: any(b"/other" in request for request in endpoint.requests))
                assert not watched.is_up(at)

    async def test_an_endpoint_that_is_not_checked_any_more_is_healthy(self):
        async with Endpoint(UNWELL).serving() as endpoint:
            at = endpoint.address
            async with Watched(a_shop(at, **OFTEN)).probing() as watched:
                await until(lambda: not watched.is_up(at))
                watched.supervisor.live = a_shop(at)
                await until(lambda: len(watched.prober._chores) == 0)
                assert (watched.is_up(at), watched.detail(at)) == (True, "")

    async def test_what_was_served_unchecked_is_served_until_it_fails(self):
        async with Endpoint(UNWELL).serving() as endpoint:
            at = endpoint.address
            async with Watched(a_shop(at)).probing() as watched:
                watched.supervisor.live = a_shop(at, **OFTEN, optimistic=False)
                await until(lambda: endpoint.connections)
                assert watched.is_up(at)
                await until(lambda: not watched.is_up(at))


async def test_no_more_than_so_many_probes_run_side_by_side():
    async with Endpoint(b"").serving() as hanging:
        port = hanging.address.rpartition(":")[2]
        addresses = [f"host-{number}.example:{port}" for number in range(20)]
        watched = Watched(a_shop(*addresses, **{**OFTEN, "timeout": "20ms"}), at_once=3)
        for address in addresses:
            watched.supervisor.set_sockets("shop", "stable", address, literal_sockets(hanging.address))
        async with watched.probing():
            await until(lambda: hanging.connections > 30)
    assert hanging.most_open <= 3 + 1  # the end of one is seen by the server a moment after the next began


async def test_an_endpoint_whose_name_is_not_resolved_keeps_its_health():
    unknown = "shop.example:80"
    async with Endpoint().serving() as endpoint:
        async with Watched(a_shop(unknown, endpoint.address, **OFTEN)).probing() as watched:
            await until(lambda: endpoint.connections > 5)
        assert watched.is_up(unknown)
        assert unknown not in [address for address, _, _ in watched.supervisor.told]


class TestOurOwnStalls:
    async def test_a_probe_that_failed_while_we_stood_still_tells_nothing(self):
        async with Endpoint(b"").serving() as endpoint:
            at = endpoint.address
            endpoint.before = lambda: time.sleep(0.15)  # the whole process, the prober included
            async with Watched(a_shop(at, **{**OFTEN, "timeout": "100ms", "fall": 1})).probing() as watched:
                await until(lambda: endpoint.connections > 3)
                assert watched.supervisor.told == []

    async def test_what_the_endpoint_said_itself_counts_all_the_same(self):
        async with Endpoint(UNWELL).serving() as endpoint:
            at = endpoint.address
            endpoint.before = lambda: time.sleep(0.1)
            async with Watched(a_shop(at, **OFTEN)).probing() as watched:
                await until(lambda: not watched.is_up(at))

    async def test_stalls_are_seen_from_when_they_ended(self):
        stalls = Stalls()
        began = time.monotonic()
        stalls.watch()
        time.sleep(0.2)  # noqa: ASYNC251  # standing still is what is looked at
        await until(lambda: stalls.longest_since(began))
        stalls.close()
        assert stalls.longest_since(began) > 0.1
        assert stalls.longest_since(time.monotonic()) == 0.0
