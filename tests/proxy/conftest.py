"""A supervised proxy in a folder of its own, that has to leave nothing behind."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.supervised import Proxy


def open_descriptors() -> set[str]:
    return {
        f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}"
        for fd in os.listdir("/proc/self/fd")
        # The counters stay mapped for as long as somebody holds a slab, and be it a log record in caplog.
        if os.path.lexists(f"/proc/self/fd/{fd}") and "memfd:" not in os.readlink(f"/proc/self/fd/{fd}")
    }


def children() -> set[str]:
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """No child and no descriptor is left when the supervisors have stopped."""
    before = children(), open_descriptors()
    yield
    assert (children(), open_descriptors()) == before


@pytest.fixture
async def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves_nothing: None) -> AsyncIterator[Proxy]:
    monkeypatch.setenv("STUB_FOLDER", str(tmp_path))
    proxy = Proxy(tmp_path)
    yield proxy
    for supervisor in proxy.started:
        await supervisor.stop()
    proxy.started.clear()
    await asyncio.sleep(0)
