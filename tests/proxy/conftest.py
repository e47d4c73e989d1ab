"""A supervised proxy in a folder of its own, that has to leave nothing behind."""

import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.supervised import Proxy
from tests.support.waiting import until


def open_descriptors() -> set[str]:
    return {
        f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}"
        for fd in os.listdir("/proc/self/fd")
        # The counters stay mapped for as long as somebody holds a slab, and be it a log record in caplog.
        if os.path.lexists(f"/proc/self/fd/{fd}") and "memfd:" not in os.readlink(f"/proc/self/fd/{fd}")
    }


def children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            found.update((task / "children").read_text().split())
    return found


@pytest.fixture
async def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """No child and no descriptor is left when its supervisors have stopped."""
    before = children(), open_descriptors()
    monkeypatch.setenv("STUB_FOLDER", str(tmp_path))
    proxy = Proxy(tmp_path)
    yield proxy
    for supervisor in proxy.started:
        await supervisor.stop()
    await until(lambda: (children(), open_descriptors()) == before)  # transports close in the next turn of the loop
