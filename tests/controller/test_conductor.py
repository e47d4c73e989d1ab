"""The controller against real admin APIs, turn by turn."""

import errno
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.guard import Brought
from config.service import Breaker
from controller.api.views import rollout_view
from controller.conductor import Impossible, NotFound, Unready
from controller.core.orders import Order, Refused
from controller.loop import CannotRecord
from proxy.core.leasing import run_out
from proxy.core.live import Lease
from tests.config.loading import config_of
from tests.support.led_stage import FILE, Stage, staged, with_endpoint, with_weights


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as stage:
        yield stage


@pytest.fixture
async def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch, proxies=2) as stage:
        yield stage


async def test_a_good_canary_is_promoted_at_the_proxy(stage: Stage):
    assert (await stage.start()).id == "shop-1"
    await stage.until("shop-1", "promoted")
    assert stage.proxy.weights() == {"stable": 0, "canary": 100}
    assert stage.proxy.supervisor.live.services["shop"].last_change.by == "rollout shop-1"
    assert [kind for kind in stage.kinds("shop-1") if kind != "applied"] == [
        *("created", "began", "prepared", "advanced", "advanced", "concluded", "completed")
    ]


async def test_a_bad_canary_is_rolled_back_by_what_the_proxy_counts(stage: Stage):
    await stage.tick(60)
    await stage.start()
    stage.proxy.traffic.error_shares["canary"] = 1.0
    await stage.until("shop-1", "rolled_back", most=30)
    assert stage.proxy.weights() == {"stable": 100, "canary": 0}
    rollout = stage.rollout("shop-1")
    assert rollout.failed == ("error-rate",)
    assert "against, rolls back at 100 : 1" in rollout.why


async def test_each_attempt_deals_its_users_anew_and_each_step_keeps_them(stage: Stage):
    def salt() -> bytes:
        return stage.proxy.supervisor.live.services["shop"].salt

    before = salt()
    await stage.start()
    await stage.until("shop-1", "step")
    first = salt()
    await stage.until("shop-1", "promoted")
    assert before != first == salt()


async def test_all_proxies_deal_their_users_alike(two: Stage):
    await two.start()
    await two.until("shop-1", "step")
    salts = {proxy.supervisor.live.services["shop"].salt.hex() for proxy in two.proxies}
    assert salts == {two.rollout("shop-1").salt}


async def test_several_proxies_are_led_alike_and_their_counts_add_up(two: Stage):
    await two.tick(60)
    await two.start()
    for proxy in two.proxies:
        proxy.traffic.error_shares["canary"] = 1.0
    await two.until("shop-1", "step")
    assert [proxy.weights() for proxy in two.proxies] == [{"stable": 90, "canary": 10}] * 2
    await two.until("shop-1", "rolled_back", most=30)
    assert [proxy.weights() for proxy in two.proxies] == [{"stable": 100, "canary": 0}] * 2


async def test_a_proxy_that_is_gone_stops_the_rollout_and_not_the_rollback(two: Stage):
    await two.start()
    await two.until("shop-1", "step")
    gone = two.proxies[1].address
    await two.proxies[1].server.close()
    await two.tick(20)
    assert two.rollout("shop-1").step == 0
    decision = two.loop("shop-1").decision
    assert decision is not None
    assert decision.sentence.endswith(f"{gone} does not answer, for 19s now: connection refused")
    (lost,) = rollout_view(two.conductor, two.rollout("shop-1")).lost
    assert (lost.address, lost.why) == (gone, "connection refused")
    assert lost.since == pytest.approx(two.conductor.tools.clock.wall() - 19)
    two.conductor.order("shop-1", Order("abort", "bob"))
    await two.tick(3)
    assert two.proxies[0].weights() == {"stable": 100, "canary": 0}
    assert two.rollout("shop-1").phase == "rolling_back"


async def test_a_change_by_somebody_else_in_between_is_seen_and_not_overwritten(stage: Stage):
    await stage.start()
    await stage.until("shop-1", "step")
    await stage.tick(2)
    with_weights(stage.proxy.supervisor, "shop", {"stable": 97, "canary": 3}, "carol")
    await stage.tick()
    assert stage.rollout("shop-1").phase == "paused"
    assert stage.rollout("shop-1").why.endswith("carol changed the split at " + stage.proxy.address + ": by hand")
    assert stage.proxy.weights() == {"stable": 97, "canary": 3}


async def test_what_the_breaker_of_one_proxy_has_taken_is_rolled_back_at_all_of_them(two: Stage):
    await two.start()
    await two.until("shop-1", "step")
    supervisor = two.proxies[1].supervisor
    with_weights(supervisor, "shop", {"stable": 90, "canary": 0}, "breaker")
    with_endpoint(supervisor, "shop", "canary", "127.0.0.1:9006")  # whatever comes after it does not hide it
    await two.until("shop-1", "rolled_back", most=3)
    assert [proxy.weights() for proxy in two.proxies] == [{"stable": 100, "canary": 0}] * 2
    rollout = two.rollout("shop-1")
    assert (rollout.failed, rollout.why) == (
        ("breaker",),
        f"{two.proxies[1].address} has taken canary out: by hand",
    )
    assert [kind for kind in two.kinds("shop-1") if kind != "applied"][-3:] == ["failed", "turned_back", "restored"]


async def test_every_proxy_has_a_lease_while_a_rollout_is_under_way(two: Stage):
    await two.start()
    await two.until("shop-1", "step")
    for proxy in two.proxies:
        lease = proxy.supervisor.live.services["shop"].lease
        brings = Brought("canary", "stable", Breaker())
        assert lease == Lease("rollout shop-1", 60.0, "hold", brings=brings)
    await two.until("shop-1", "promoted")
    assert [proxy.supervisor.live.services["shop"].lease for proxy in two.proxies] == [None, None]


async def test_a_lease_that_ran_out_while_the_controller_was_gone_is_in_its_journal(stage: Stage):
    stage.config = config_of(FILE.replace("promote: time", "promote: time\n    on_controller_loss: {do: rollback}"))
    await stage.restart()
    await stage.start()
    await stage.until("shop-1", "step")
    await stage.tick()
    supervisor = stage.proxy.supervisor
    supervisor.live = run_out(supervisor.live, "shop", 0.0)
    await stage.restart(away=70)
    await stage.until("shop-1", "rolled_back", most=3)
    assert stage.proxy.weights() == {"stable": 100, "canary": 0}
    assert stage.rollout("shop-1").failed == ("controller-loss",)
    assert stage.rollout("shop-1").why == (
        f"{stage.proxy.address} has taken canary out by itself: nothing was heard of rollout shop-1 for 60 s"
    )
    assert supervisor.live.services["shop"].lease is None


async def test_a_rolling_rollout_runs_its_hook_and_moves_its_endpoints(stage: Stage):
    await stage.start("legacy")
    for _ in range(2000):
        await stage.tick()
        if stage.rollout("legacy-1").phase == "promoted":
            break
    live = stage.proxy.supervisor.live.services["legacy"]
    assert {version: [each.address for each in places] for version, places in live.versions.items()} == {
        "v1": [],
        "v2": ["127.0.0.1:9011", "127.0.0.1:9012", "127.0.0.1:9013"],
    }
    assert live.weights == {"v1": 0, "v2": 3}
    assert len([*(stage.folder / "runs").glob("*.json")]) == 3


async def test_a_second_start_is_refused_queued_or_supersedes(stage: Stage):
    await stage.start()
    with pytest.raises(Refused, match="shop has the rollout shop-1"):
        await stage.start()
    queued = await stage.conductor.start("shop", {}, by="bob", reason="", if_running="queue")
    await stage.tick()
    decision = stage.loop(queued.id).decision
    assert decision is not None
    assert decision.sentence == "waits for shop-1, which is in step 1"
    await stage.conductor.start("shop", {}, by="bob", reason="", if_running="supersede")
    await stage.until("shop-3", "promoted")
    assert {identity: each.phase for identity, each in stage.conductor.book.rollouts.items()} == {
        "shop-1": "rolled_back",
        "shop-2": "rolled_back",
        "shop-3": "promoted",
    }


async def test_what_cannot_begin_is_refused_with_everything_that_is_wrong(stage: Stage):
    with pytest.raises(NotFound, match="The file has no rollout for 'shp'; it has shop, legacy") as missing:
        await stage.start("shp")
    assert missing.value.suggestion == "shop"
    with pytest.raises(Impossible) as impossible:
        await stage.start(**{"from_": "stabel", "to": "canry"})
    assert [(each.path, each.suggestion) for each in impossible.value.problems] == [
        ("from", "stable"),
        ("to", "canary"),
    ]
    with pytest.raises(Impossible, match="cannot begin"):
        await stage.start(to="stable")
    with_endpoint(stage.proxy.supervisor, "legacy", "v2", "127.0.0.1:9999")
    with pytest.raises(Impossible) as impossible:
        await stage.start("legacy")
    assert [each.path for each in impossible.value.problems] == ["to"]
    assert stage.journal.records == []


async def test_nothing_begins_while_a_proxy_is_gone(stage: Stage):
    await stage.proxy.server.close()
    with pytest.raises(Unready, match="does not answer: connection refused"):
        await stage.start()


async def test_a_signal_holds_and_whoever_goes_on_has_heard_it(stage: Stage):
    await stage.start()
    await stage.until("shop-1", "step")
    stage.conductor.signal("shop", "", bad=True, by="support", message="12 tickets", seconds=None)
    await stage.tick(2)
    assert stage.rollout("shop-1").phase == "holding"
    assert stage.rollout("shop-1").why == "signal: support says that something is wrong: 12 tickets"
    stage.conductor.order("shop-1", Order("resume", "bob"))
    await stage.until("shop-1", "promoted")
    with pytest.raises(Impossible) as impossible:
        stage.conductor.signal("shop", "tckets", bad=True, by="x", message="", seconds=None)
    assert impossible.value.problems[0].path == "check"


async def test_a_stopped_line_stops_everything_forward(stage: Stage):
    stage.conductor.stop_line(stopped=True, by="dave", reason="incident")
    await stage.start()
    await stage.tick(20)
    assert stage.rollout("shop-1").phase == "pending"
    stage.conductor.stop_line(stopped=False, by="dave", reason="")
    await stage.until("shop-1", "step")


async def test_a_freeze_window_stops_everything_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with staged(tmp_path, monkeypatch, FILE + "controller: {freeze: {reason: holidays}}") as stage:
        await stage.start()
        await stage.tick(20)
        decision = stage.loop("shop-1").decision
        assert decision is not None
        assert decision.sentence.startswith("holidays until ")


@pytest.mark.parametrize("moment", range(1, 26, 2))
async def test_a_controller_that_is_killed_at_any_moment_goes_on_as_it_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
):
    async with staged(tmp_path, monkeypatch) as stage:
        await stage.start()
        await stage.tick(moment)
        before = stage.rollout("shop-1")
        await stage.restart(away=30)
        assert stage.rollout("shop-1") == before
        await stage.until("shop-1", "promoted")
        assert stage.proxy.weights() == {"stable": 0, "canary": 100}
        seconds = [record.entry.event.at for record in stage.journal.records if record.entry.entry == "happened"]
        kinds = stage.kinds("shop-1")
        steps = [at for at, kind in zip(seconds, kinds, strict=True) if kind in ("prepared", "advanced", "concluded")]
        assert all(later - earlier >= 5 for earlier, later in itertools.pairwise(steps))


async def test_the_judge_survives_a_restart(stage: Stage):
    await stage.tick(60)
    await stage.start()
    await stage.until("shop-1", "step")
    stage.conductor.order("shop-1", Order("pause", "bob"))
    await stage.tick(40)
    loop = stage.loop("shop-1")
    assert loop.decision is not None
    before = loop.decision.seen.verdicts
    await stage.restart(away=3)
    await stage.tick()
    decision = stage.loop("shop-1").decision
    assert decision is not None
    assert [verdict.value for verdict in decision.seen.verdicts] == [verdict.value for verdict in before]


async def test_a_journal_that_cannot_be_written_stops_everything_but_the_way_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    await stage.start()
    await stage.until("shop-1", "step")
    await stage.tick(2)
    written = len(stage.journal.records)

    def full(descriptor: int, text: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        await stage.tick()
        with pytest.raises(CannotRecord, match="No space left on device"):
            await stage.tick(10)
        assert stage.rollout("shop-1").step == 0
        with pytest.raises(Unready, match="nothing moves forward"):
            stage.conductor.order("shop-1", Order("promote", "bob"))
        stage.conductor.order("shop-1", Order("abort", "bob"))
        await stage.tick(3)
        assert stage.proxy.weights() == {"stable": 100, "canary": 0}
        assert len(stage.journal.records) == written
    stage.conductor.flush()
    assert stage.kinds("shop-1")[-3:] == ["aborted", "applied", "restored"]
    assert stage.conductor.trouble == ""


async def test_what_nobody_needs_is_forgotten_at_the_next_start(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("controller.conductor.COMPACT_ABOVE", 10)
    for number in range(1, 24):
        await stage.start()
        stage.conductor.order(f"shop-{number}", Order("abort", "bob"))
    await stage.restart()
    assert len(stage.conductor.book.rollouts) == 20
    assert (await stage.start()).id == "shop-24"
