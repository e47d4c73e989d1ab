"""Leases in the supervisor: their time, and that each runs out once."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.core.leasing import end_lease
from proxy.core.live import Lease, Live, Refused, RunOut
from proxy.leases import Leases
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.waiting import until

HOLD = Lease("rollout shop-1", 60.0, "hold")
BACK = Lease("rollout shop-1", 60.0, "rollback", weights={"stable": 1.0})
WHY = "nothing was heard of rollout shop-1 for 60 s"


class Led:
    """A supervisor, its leases, and the time, which the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.supervisor = FakeSupervisor()
        self.leases = self.anew()

    def anew(self) -> Leases:
        return Leases(self.supervisor, lambda: self.now, lambda: 1.7e9)

    async def after(self, seconds: float) -> None:
        self.now += seconds
        await self.leases.look()

    @property
    def lease(self) -> Lease | None:
        return self.supervisor.live.services["shop"].lease


async def test_a_renewal_resets_the_time_and_nothing_else():
    led = Led()
    live = await led.leases.renew("shop", HOLD)
    await led.after(59)
    assert led.leases.remaining("shop") == 1
    assert await led.leases.renew("shop", HOLD) is live
    assert led.leases.remaining("shop") == 60
    await led.after(59)
    assert led.lease == HOLD
    assert led.supervisor.live is live


async def test_a_lease_that_is_not_renewed_runs_out_once_and_says_so():
    led = Led()
    await led.leases.renew("shop", BACK)
    await led.after(60)
    assert led.lease is not None
    assert led.lease.ran_out == RunOut("rolled back", WHY, 1.7e9)
    assert led.supervisor.live.services["shop"].weights == {"stable": 1.0, "canary": 0.0}
    told = {"service": "shop", "holder": "rollout shop-1", "done": "rolled back", "reason": WHY}
    assert led.supervisor.events.published == [("lease", told)]
    generation = led.supervisor.live.generation
    await led.after(1000)
    assert (led.supervisor.live.generation, led.leases.remaining("shop")) == (generation, None)
    assert led.leases.ran_out == {("shop", "rolled back"): 1}


async def test_whoever_comes_back_has_a_new_lease():
    led = Led()
    await led.leases.renew("shop", HOLD)
    await led.after(60)
    await led.leases.renew("shop", HOLD)
    assert (led.lease, led.leases.remaining("shop")) == (HOLD, 60)
    await led.after(60)
    assert led.leases.ran_out == {("shop", "held"): 2}


async def test_a_lease_that_was_ended_never_runs_out():
    led = Led()
    await led.leases.renew("shop", HOLD)
    await led.supervisor.change(lambda live: end_lease(live, "shop", HOLD.holder))
    await led.after(1000)
    assert (led.lease, led.leases.remaining("shop"), led.supervisor.events.published) == (None, None, [])


async def test_after_a_restart_of_the_proxy_its_time_begins_anew():
    led = Led()
    await led.leases.renew("shop", HOLD)
    led.now += 50
    led.leases = led.anew()
    await led.after(0)
    await led.after(59)
    assert led.leases.remaining("shop") == 1
    await led.after(1)
    assert led.leases.remaining("shop") is None


async def test_a_renewal_that_comes_just_in_time_keeps_it(monkeypatch: pytest.MonkeyPatch):
    led = Led()
    await led.leases.renew("shop", BACK)
    change = led.supervisor.change

    async def slow(step: Callable[[Live], Live]) -> Live:
        await led.leases.renew("shop", BACK)
        return await change(step)

    monkeypatch.setattr(led.supervisor, "change", slow)
    await led.after(60)
    assert (led.lease, led.leases.remaining("shop")) == (BACK, 60)


@pytest.mark.parametrize("is_in_force", [True, False])
async def test_what_cannot_be_done_is_tried_again(monkeypatch: pytest.MonkeyPatch, is_in_force: bool):
    led = Led()
    await led.leases.renew("shop", BACK)
    change = led.supervisor.change

    async def refuse(step: Callable[[Live], Live]) -> Live:
        if is_in_force:
            await change(step)
        raise Refused(503 if is_in_force else 507, "not every worker is ready, or the disk is full")

    monkeypatch.setattr(led.supervisor, "change", refuse)
    await led.after(60)
    assert len(led.supervisor.events.published) == is_in_force
    monkeypatch.setattr(led.supervisor, "change", change)
    await led.after(2)
    assert led.leases.ran_out == {("shop", "rolled back"): 1}


async def test_it_runs_until_it_is_cancelled():
    led = Led()
    await led.leases.renew("shop", HOLD)
    running = asyncio.create_task(led.leases.run())
    led.now += 60
    await until(lambda: led.supervisor.events.published)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
