"""One controller acts, a second one waits."""

import asyncio
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from controller.lease import Lease, LeaseError
from tests.support.waiting import until


async def test_a_second_one_waits_until_the_first_has_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    first = await Lease.take(tmp_path)
    second = asyncio.create_task(Lease.take(tmp_path))
    await until(lambda: "waiting until it has gone" in caplog.text)
    assert f"(pid {os.getpid()})" in caplog.text
    assert not second.done()
    first.close()
    (await second).close()


async def test_waiting_can_be_given_up(tmp_path: Path):
    first = await Lease.take(tmp_path)
    second = asyncio.create_task(Lease.take(tmp_path))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    first.close()


def _hold(folder: Path, has_it: "multiprocessing.synchronize.Event") -> None:
    async def hold() -> None:
        await Lease.take(folder)
        has_it.set()
        await asyncio.Event().wait()

    asyncio.run(hold())


async def test_a_killed_controller_holds_nothing_and_a_frozen_one_everything(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    has_it = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, has_it))
    holder.start()
    assert holder.pid is not None
    try:
        await asyncio.to_thread(has_it.wait, 30)
        os.kill(holder.pid, signal.SIGSTOP)
        second = asyncio.create_task(Lease.take(tmp_path))
        done, _ = await asyncio.wait({second}, timeout=0.5)
        assert not done
    finally:
        holder.kill()
    (await second).close()
    await asyncio.to_thread(holder.join)
    holder.close()


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LeaseError, match="cannot be used: Not a directory"):
        await Lease.take(tmp_path / "file" / "controller")
