"""The series of a rollout at work: from its first second to its last one, through restarts, until it is forgotten."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from controller.core.series import Row
from controller.loop import AFTERMATH
from controller.series_file import path_of, read
from tests.support.led_stage import FILE, Stage, staged

BY_EVIDENCE = FILE.replace("    promote: time\n", "")


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    async with staged(tmp_path, monkeypatch) as stage:
        yield stage


async def rows_of(stage: Stage, identity: str = "shop-1") -> tuple[Row, ...]:
    """What is kept, once everything is written."""
    await stage.loop(identity).recording.flush()
    return read(path_of(stage.folder, identity)).series.rows


def instants(stage: Stage, kind: str) -> list[float]:
    return [
        record.entry.event.at
        for record in stage.journal.records
        if record.entry.entry == "happened" and record.entry.event.kind == kind
    ]


async def test_every_second_from_the_first_to_the_last_is_kept(stage: Stage):
    await stage.tick(60)
    await stage.start()
    await stage.until("shop-1", "promoted")
    await stage.tick(20)
    rows = await rows_of(stage)
    (began,), (ended,) = instants(stage, "began"), instants(stage, "completed")
    assert rows[0].at <= began + 1
    assert rows[-1].end > ended
    assert rows[-1].end <= ended + AFTERMATH + 1, "what comes long after the end is not of it"
    assert all(before.end == after.at for before, after in pairwise(rows))
    assert {row.old.requests + row.new.requests for row in rows} == {100}
    shares = [row.new.requests for row in rows]
    assert shares == sorted(shares)
    assert {10, 50, 100} <= set(shares)


async def test_the_last_seconds_of_a_rollback_are_kept_with_their_errors(stage: Stage):
    await stage.tick(60)
    await stage.start()
    stage.proxy.traffic.error_shares["canary"] = 1.0
    await stage.until("shop-1", "rolled_back", most=30)
    sent = sum(
        each["errors"] for each in stage.proxy.traffic.stats(900, {"shop"})["services"]["shop"]["canary"]["seconds"]
    )
    assert not stage.loop("shop-1").is_over
    await stage.tick(20)
    assert stage.loop("shop-1").is_over
    rows = await rows_of(stage)
    assert sum(row.new.errors for row in rows) == sent > 0
    told = max(row.odds.high for row in rows if row.odds)
    assert f"odds {told:,.0f} : 1 against" in stage.rollout("shop-1").why, "what came later has decided nothing"
    assert [row.checks["error-rate"].value for row in rows if row.checks][-1] == "FAIL"
    assert rows[-1].end > instants(stage, "restored")[0]


async def test_a_restart_loses_no_second_and_counts_none_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with staged(tmp_path, monkeypatch, BY_EVIDENCE) as stage:
        await stage.tick(30)
        await stage.start()
        await stage.until("shop-1", "step")
        await stage.tick(7)
        await stage.loop("shop-1").recording.flush()
        await stage.restart(away=20)
        await stage.tick(10)
        rows = await rows_of(stage)
        assert all(before.end == after.at for before, after in pairwise(rows))
        assert {row.old.requests + row.new.requests for row in rows} == {100}
        assert len(rows) >= 7 + 20 + 10 - 2


async def test_a_rollback_that_was_just_over_is_recorded_after_a_restart(stage: Stage):
    await stage.tick(10)
    await stage.start()
    stage.proxy.traffic.error_shares["canary"] = 1.0
    await stage.until("shop-1", "rolled_back", most=30)
    await stage.loop("shop-1").recording.flush()
    await stage.restart(away=1)
    await stage.tick(15)
    assert (await rows_of(stage))[-1].end > instants(stage, "restored")[0]


async def test_a_second_attempt_goes_on_in_the_same_series(stage: Stage):
    from controller.core.orders import Order

    await stage.start()
    await stage.until("shop-1", "step")
    stage.conductor.order("shop-1", Order("abort", "bob"))
    await stage.tick(2)
    stage.conductor.order("shop-1", Order("retry", "bob"))
    await stage.until("shop-1", "promoted")
    await stage.tick(10)
    rows = await rows_of(stage)
    assert rows[0].at <= instants(stage, "began")[0] + 1
    assert rows[-1].end > instants(stage, "completed")[0]
    assert all(before.end <= after.at for before, after in pairwise(rows))


async def test_waiting_for_a_turn_is_not_of_the_rollout(stage: Stage):
    await stage.tick(10)
    stage.conductor.stop_line(stopped=True, by="dave", reason="incident")
    await stage.start()
    await stage.tick(30)
    stage.conductor.stop_line(stopped=False, by="dave", reason="")
    await stage.until("shop-1", "step")
    await stage.tick(5)
    assert (await rows_of(stage))[0].at >= instants(stage, "began")[0] - 3


async def test_the_series_of_a_rollout_that_nobody_knows_is_deleted(stage: Stage):
    path_of(stage.folder, "shop-7").touch()
    await stage.start()
    await stage.until("shop-1", "step")
    await stage.tick(5)
    assert await rows_of(stage)
    await stage.restart()
    assert not path_of(stage.folder, "shop-7").exists()
    assert read(path_of(stage.folder, "shop-1")).series.rows


async def test_a_series_that_cannot_be_written_stops_nothing(stage: Stage):
    path_of(stage.folder, "shop-1").mkdir()
    await stage.start()
    await stage.until("shop-1", "promoted")
    assert stage.proxy.weights() == {"stable": 0, "canary": 100}
