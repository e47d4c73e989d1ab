"""What a change of the live state means, and what happens to it when the disk, the file or a worker fails."""

import asyncio
import errno
import os
import socket
import time
from dataclasses import replace

import pytest

from config.problems import ConfigError
from proxy.core.live import Live, Refused, add_endpoint, remove_endpoint
from proxy.sockets import ListenError
from tests.support.lives import NEVER
from tests.support.supervised import FILE, Proxy, kinds, pids, split
from tests.support.waiting import until


async def test_a_change_returns_when_every_worker_has_confirmed_it(proxy: Proxy):
    supervisor = await proxy.start()
    live = await supervisor.change(split(10))
    assert (live.generation, supervisor.live) == (2, live)
    assert sorted(proxy.heard()[-2:]) == [f"{index} services 2 shop:stable=90(up),canary=10(up)" for index in (0, 1)]
    assert kinds(supervisor) == ["change"]


async def test_a_change_that_is_refused_changes_nothing(proxy: Proxy):
    supervisor = await proxy.start()
    heard = proxy.heard()
    with pytest.raises(Refused, match="weight lies between"):
        await supervisor.change(split(-1))
    with pytest.raises(Refused, match="has generation 1, not 7") as refused:
        await supervisor.change(split(50), if_match=7)
    assert (refused.value.status, supervisor.live.generation) == (412, 1)
    assert proxy.heard() == heard


async def test_of_concurrent_changes_with_the_same_if_match_exactly_one_wins(proxy: Proxy):
    supervisor = await proxy.start()
    changes = [supervisor.change(split(weight), if_match=1) for weight in range(10, 30)]
    results = await asyncio.gather(*changes, return_exceptions=True)
    won = [result for result in results if isinstance(result, Live)]
    lost = [result.status for result in results if isinstance(result, Refused)]
    assert (len(won), lost) == (1, [412] * 19)
    assert supervisor.live == won[0]


async def test_a_hundred_changes_at_once_are_taken_one_after_the_other(proxy: Proxy):
    supervisor = await proxy.start()
    lives = await asyncio.gather(*(supervisor.change(split(weight)) for weight in range(100)))
    assert [live.generation for live in lives] == list(range(2, 102))
    assert supervisor.live.services["shop"].weights == {"stable": 1.0, "canary": 99.0}


async def test_a_caller_that_goes_away_does_not_stop_its_change(proxy: Proxy):
    supervisor = await proxy.start()
    caller = asyncio.create_task(supervisor.change(split(10)))
    for _ in range(3):
        await asyncio.sleep(0)
    assert supervisor._turns._lock.locked()
    caller.cancel()
    assert (await supervisor.change(split(20))).generation == 3
    assert caller.cancelled()


async def test_a_change_that_a_worker_cannot_serve_is_undone(proxy: Proxy):
    supervisor = await proxy.start()
    proxy.mood("refuse-2", worker=1)
    with pytest.raises(Refused, match="undone; worker 1: cannot") as refused:
        await supervisor.change(split(10))
    assert refused.value.status == 500
    assert supervisor.live.generation == 3
    assert supervisor.live.services["shop"].weights == {"stable": 99.0, "canary": 1.0}
    assert sorted(proxy.heard()[-2:]) == [f"{index} services 3 shop:stable=99(up),canary=1(up)" for index in (0, 1)]
    again = await proxy.restart()
    assert again.live.services["shop"].weights == {"stable": 99.0, "canary": 1.0}


async def test_what_cannot_be_kept_is_not_served(proxy: Proxy, monkeypatch: pytest.MonkeyPatch):
    supervisor = await proxy.start()
    heard = proxy.heard()

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(Refused, match=r"live\.json cannot be written: No space left on device") as refused:
            await supervisor.change(split(10))
    assert (refused.value.status, supervisor.live.generation, proxy.heard()) == (507, 1, heard)
    assert (await supervisor.change(split(10))).generation == 2


async def test_live_changes_outlive_a_restart(proxy: Proxy):
    supervisor = await proxy.start()
    await supervisor.change(split(10))
    await supervisor.change(lambda live: add_endpoint(live, "shop", "canary", "127.0.0.1:9009", NEVER))
    before = supervisor.live
    again = await proxy.restart()
    start = again.live.services["cart"].last_change
    cart = replace(before.services["cart"], last_change=start, split_change=start)
    assert again.live == replace(before, generation=4, services={**before.services, "cart": cart})
    assert "0 snapshot 4 shop:stable=90(up),canary=10(up,up) cart:v1=1(down)" in proxy.heard()


async def test_what_the_file_does_not_have_any_more_is_said_at_the_start(proxy: Proxy):
    supervisor = await proxy.start()
    await supervisor.change(split(10))
    services = {"cart": FILE["services"]["cart"]}
    proxy.write({**FILE, "services": services, "routes": []})
    again = await proxy.restart()
    assert again.dropped == ("shop: what was changed live is dropped: the file has no such service any more",)


async def test_a_health_flip_reaches_the_workers_and_keeps_the_generation(proxy: Proxy):
    supervisor = await proxy.start()
    supervisor.set_health("shop", "canary", "127.0.0.1:9003", False, "HTTP 500")
    supervisor.set_health("shop", "canary", "127.0.0.1:9003", False, "HTTP 502")
    supervisor.set_health("no", "such", "endpoint", False, "")
    supervisor.set_sockets("cart", "v1", "cart.example:9005", (("inet", "127.0.0.5", 9005),))
    line = "services 1 shop:stable=99(up),canary=1(down) cart:v1=1(up)"
    await until(lambda: {f"0 {line}", f"1 {line}"} <= set(proxy.heard()))
    assert supervisor.live.generation == 1
    health = supervisor.health_of("shop", "canary", "127.0.0.1:9003")
    assert (health.healthy, health.detail) == (False, "HTTP 502")
    assert kinds(supervisor) == ["health"]


async def test_an_endpoint_that_is_added_with_checks_waits_for_its_first_good_probe(proxy: Proxy):
    tree = {**FILE, "services": {"shop": {**FILE["services"]["shop"], "health": {"tcp": True}}}}
    proxy.write(tree)
    supervisor = await proxy.start()
    await supervisor.change(lambda live: add_endpoint(live, "shop", "canary", "127.0.0.1:9009", NEVER))
    assert "0 services 2 shop:stable=99(up),canary=1(up,down)" in proxy.heard()
    supervisor.set_health("shop", "canary", "127.0.0.1:9009", True, "")
    await until(lambda: "0 services 2 shop:stable=99(up),canary=1(up,up)" in proxy.heard())


async def test_an_address_that_is_taken_fails_the_start(proxy: Proxy):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy.write({**FILE, "listen": [{"address": f"127.0.0.1:{taken.getsockname()[1]}"}]})
        with pytest.raises(ListenError, match="another process listens there already"):
            await proxy.start()


async def test_a_reload_takes_up_the_file_and_keeps_live_changes(proxy: Proxy):
    supervisor = await proxy.start()
    await supervisor.change(split(10))
    services = {**FILE["services"], "new": {"versions": {"v1": {}}}}
    proxy.write({**FILE, "services": services, "limits": {"connections": 7}})
    assert await supervisor.reload() == []
    assert sorted(proxy.heard()[-4:]) == sorted(
        line
        for index in (0, 1)
        for line in (
            f"{index} settings ",
            f"{index} snapshot 3 shop:stable=90(up),canary=10(up) cart:v1=1(down) new:v1=1()",
        )
    )
    assert kinds(supervisor) == ["change", "change", "reload"]
    untouched = await proxy.restart()
    assert untouched.live.services["new"].salt == supervisor.live.services["new"].salt


async def test_a_reload_of_the_same_file_sends_the_generation_alone(proxy: Proxy):
    supervisor = await proxy.start()
    await supervisor.reload()
    assert sorted(proxy.heard()[-2:]) == ["0 services 2", "1 services 2"]


@pytest.mark.parametrize("text", ["listen: [", "listen: []", None])
async def test_a_bad_file_changes_nothing(proxy: Proxy, text: str | None):
    supervisor = await proxy.start()
    live, heard = supervisor.live, proxy.heard()
    if text is None:
        proxy.path.unlink()
    else:
        proxy.path.write_text(text)
    with pytest.raises(ConfigError):
        await supervisor.reload()
    assert (supervisor.live, proxy.heard()) == (live, heard)


async def test_what_a_reload_cannot_change_is_said(proxy: Proxy):
    supervisor = await proxy.start()
    proxy.write({**FILE, "listen": [{"address": "127.0.0.1:1"}], "workers": 3, "state_dir": "other"})
    told = "is another one in the file now; changing it needs a restart, until then the old one stays"
    assert await supervisor.reload() == [f"{name} {told}" for name in ("listen", "workers", "state_dir")]
    assert len(pids(supervisor)) == 2


async def test_a_change_in_flight_ends_when_the_proxy_stops(proxy: Proxy):
    supervisor = await proxy.start()
    proxy.mood("mute")
    change = asyncio.create_task(supervisor.change(split(10)))
    await until(lambda: any("services 2" in line for line in proxy.heard()))
    await supervisor.stop()
    proxy.started.pop()
    with pytest.raises(Refused, match="the workers have ended"):
        await change


async def test_slots_of_what_is_gone_are_used_again_when_they_have_rested(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
):
    supervisor = await proxy.start()
    slot = supervisor.slots.endpoint("shop", "canary", "127.0.0.1:9003")
    await supervisor.change(lambda live: remove_endpoint(live, "shop", "canary", "127.0.0.1:9003", NEVER))
    supervisor.slabs[0].start_attempt(1, slot, time.monotonic_ns())
    supervisor.slabs[0].end_attempt(1, slot, 0, time.monotonic_ns(), time.monotonic_ns())
    monkeypatch.setattr("proxy.core.slots.REST_SECONDS", 0.0)
    await supervisor.change(lambda live: add_endpoint(live, "shop", "canary", "127.0.0.1:9009", NEVER))
    assert supervisor.slots.endpoint("shop", "canary", "127.0.0.1:9009") == slot
    assert supervisor.slabs[0].read_endpoint(slot)["outcomes"][0] == 0


async def test_a_change_for_which_there_is_no_room_is_refused(proxy: Proxy, monkeypatch: pytest.MonkeyPatch):
    supervisor = await proxy.start()
    monkeypatch.setattr(supervisor.slots.endpoints, "_size", 4)
    with pytest.raises(Refused, match="room for 3 endpoints") as refused:
        await supervisor.change(lambda live: add_endpoint(live, "shop", "canary", "127.0.0.1:9009", NEVER))
    assert (refused.value.status, supervisor.live.generation) == (507, 1)
