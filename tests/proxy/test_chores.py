"""Chores: one task for each of a set of things, whatever happens to one of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy import chores
from proxy.chores import Chores
from tests.support.waiting import until


class Journal:
    """Work that notes its begin and its end."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.chores: Chores[str, int] = Chores(self.work)
        self.is_failing = False

    async def work(self, key: str, description: int) -> None:
        self.lines.append(f"{key}{description} began")
        if self.is_failing:
            raise ValueError("as the test wants")
        try:
            await asyncio.Event().wait()
        finally:
            self.lines.append(f"{key}{description} ended")

    async def follow(self, **wanted: int) -> list[str]:
        """What happened since the last time."""
        self.lines.clear()
        self.chores.follow(wanted)
        for _ in range(3):
            await asyncio.sleep(0)
        return sorted(self.lines)


@pytest.fixture
async def journal() -> AsyncIterator[Journal]:
    journal = Journal()
    yield journal
    await journal.chores.close()


async def test_only_what_changes_is_touched(journal: Journal):
    assert await journal.follow(a=1, b=1) == ["a1 began", "b1 began"]
    assert await journal.follow(a=1, b=2, c=1) == ["b1 ended", "b2 began", "c1 began"]
    assert await journal.follow(c=1) == ["a1 ended", "b2 ended"]
    assert len(journal.chores) == 1


async def test_closing_ends_all(journal: Journal):
    await journal.follow(a=1, b=1)
    journal.lines.clear()
    await journal.chores.close()
    assert sorted(journal.lines) == ["a1 ended", "b1 ended"]


async def test_what_fails_is_logged_and_begins_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(chores, "RESTART_PAUSE", 0)
    journal.is_failing = True
    await journal.follow(a=1)
    journal.is_failing = False
    await until(lambda: len(journal.lines) > 1)
    assert "failed for a" in caplog.text
    assert "as the test wants" in caplog.text
