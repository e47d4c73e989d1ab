"""The admin API of a proxy as the controller calls it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from config.controller import LedProxy
from controller.core.actions import EnsureEndpoint, RemoveEndpoint, SetSplit
from controller.core.model import Split
from controller.core.observed import SeenEndpoint
from controller.proxies import Proxy, ProxyLost, ProxyRefused
from proxy.admin.app import create_app
from tests.config.loading import config_of
from tests.proxy.admin.fakes import FakeObservations, FakeSupervisor
from tests.support.led_stage import FILE

HALF = SetSplit(Split({"stable": 50.0, "canary": 50.0}))


@pytest.fixture
def supervisor() -> FakeSupervisor:
    return FakeSupervisor(config_of(FILE))


@asynccontextmanager
async def a_proxy(supervisor: FakeSupervisor) -> AsyncIterator[Proxy]:
    async with TestServer(create_app(supervisor, FakeObservations(), CollectorRegistry())) as server:
        proxy = Proxy(LedProxy.model_validate({"address": f"127.0.0.1:{server.port}"}))
        try:
            yield proxy
        finally:
            await proxy.close()


async def test_a_look_shows_weights_endpoints_and_who_changed_them_last(supervisor: FakeSupervisor):
    supervisor.busy["shop", "canary", "127.0.0.1:9005"] = 3
    async with a_proxy(supervisor) as proxy:
        seen = await proxy.look("shop")
    assert seen.split == Split({"stable": 1.0, "canary": 0.0})
    assert seen.endpoints["canary"] == {"127.0.0.1:9005": SeenEndpoint("up", True, 3)}
    assert (seen.generation, seen.changed_by) == (
        supervisor.live.generation,
        supervisor.live.services["shop"].last_change.by,
    )


async def test_a_change_carries_its_generation_its_actor_and_its_reason(supervisor: FakeSupervisor):
    async with a_proxy(supervisor) as proxy:
        generation = (await proxy.look("shop")).generation
        after = await proxy.do("shop", HALF, generation, "rollout shop-1", "größer, ja")
        assert after == generation + 1
        change = supervisor.live.services["shop"].last_change
        assert (change.by, change.reason) == ("rollout shop-1", "größer, ja")
        with pytest.raises(ProxyRefused, match=f"has generation {after}") as refused:
            await proxy.do("shop", HALF, generation, "rollout shop-1", "")
        assert refused.value.status == 412


async def test_a_pool_is_switched_and_users_are_dealt_anew(supervisor: FakeSupervisor):
    async with a_proxy(supervisor) as proxy:
        generation = (await proxy.look("shop")).generation
        switch = SetSplit(Split({"stable": 0.0, "canary": 100.0}, "canary"))
        generation = await proxy.do("shop", switch, generation, "x", "")
        assert supervisor.live.services["shop"].active == "canary"
        salt = supervisor.live.services["shop"].salt
        generation = await proxy.do("shop", HALF, generation, "x", "")
        assert supervisor.live.services["shop"].salt == salt
        await proxy.do("shop", SetSplit(HALF.split, "5a" * 16), generation, "x", "")
        assert supervisor.live.services["shop"].salt == b"\x5a" * 16


@pytest.mark.parametrize("address", ["127.0.0.1:9999", "unix:/run/app.sock"])
async def test_endpoints_are_put_and_taken_however_often(supervisor: FakeSupervisor, address: str):
    def states() -> dict[str, str]:
        return {each.address: each.state for each in supervisor.live.services["shop"].versions["canary"]}

    async with a_proxy(supervisor) as proxy:
        generation = (await proxy.look("shop")).generation
        for state in ("up", "up", "drain", "drain"):
            action = EnsureEndpoint("canary", address, state)
            generation = await proxy.do("shop", action, generation, "x", "")
            assert states()[address] == state
        for _ in range(2):
            generation = await proxy.do("shop", RemoveEndpoint("canary", address), generation, "x", "")
            assert address not in states()
        await proxy.do("shop", EnsureEndpoint("canary", address, "drain"), generation, "x", "")
        assert states()[address] == "drain"


async def test_an_endpoint_that_is_busy_is_not_taken(supervisor: FakeSupervisor):
    supervisor.busy["shop", "canary", "127.0.0.1:9005"] = 3
    async with a_proxy(supervisor) as proxy:
        generation = (await proxy.look("shop")).generation
        with pytest.raises(ProxyRefused, match="is not idle"):
            await proxy.do("shop", RemoveEndpoint("canary", "127.0.0.1:9005"), generation, "x", "")


async def test_an_unknown_service_is_refused_in_the_words_of_the_proxy(supervisor: FakeSupervisor):
    async with a_proxy(supervisor) as proxy:
        with pytest.raises(ProxyRefused, match="There is no service 'shp'"):
            await proxy.look("shp")


async def test_a_proxy_is_called_over_a_unix_socket_with_its_token(tmp_path: Path):
    path, token = tmp_path / "admin.sock", "s3cret"
    supervisor = FakeSupervisor(config_of(f"{FILE}admin: {{address: 'unix:{path}', token: {token}}}"))
    runner = web.AppRunner(create_app(supervisor, FakeObservations(), CollectorRegistry()))
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    for given, is_right in ((token, True), ("wrong", False)):
        proxy = Proxy(LedProxy.model_validate({"address": f"unix:{path}", "token": given}))
        if is_right:
            assert (await proxy.count("shop", 5000))["now"] == 8
        else:
            with pytest.raises(ProxyRefused, match="There is no such token"):
                await proxy.look("shop")
        await proxy.close()
    await runner.cleanup()


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def an_impostor(answer: Answer) -> AsyncIterator[Proxy]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app, handler_cancellation=True) as server:
        proxy = Proxy(LedProxy.model_validate({"address": f"127.0.0.1:{server.port}"}))
        try:
            yield proxy
        finally:
            await proxy.close()


async def _silence(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>")


async def _other(request: web.Request) -> web.StreamResponse:
    return web.json_response([1, 2])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (_silence, "no answer within 0.1 s"),
        (_cut, "server disconnected"),
        (_page, "its answer is not JSON; is that the admin API of a proxy"),
        (_other, "its answer is of another shape"),
    ],
)
async def test_what_gives_no_usable_answer_is_lost(monkeypatch: pytest.MonkeyPatch, answer: Answer, words: str):
    monkeypatch.setattr("controller.proxies.LOOK_SECONDS", 0.1)
    async with an_impostor(answer) as proxy:
        with pytest.raises(ProxyLost, match=words):
            await proxy.look("shop")
        with pytest.raises(ProxyLost, match=words):
            await proxy.count("shop", 3)


async def test_nobody_there_is_lost(unused_tcp_port: int):
    proxy = Proxy(LedProxy.model_validate({"address": f"127.0.0.1:{unused_tcp_port}"}))
    with pytest.raises(ProxyLost, match="connection refused"):
        await proxy.look("shop")
    await proxy.close()
