"""The controller is killed at each of its write points: before a write of its journal, in it, and behind it.

A write point is one write to the journal during a whole rollout: what was decided before it is not known, and what it
says may be done or not. The journal, the lock on it and the admin API are real; the test moves the time.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

import pytest

from tests.support.led_stage import Stage, staged
from tests.support.long_forms import IS_LONG, long_or

#: How often at each write point; the short form goes to every third one, once.
TIMES: Final = long_or(1, 100)
EACH: Final = long_or(3, 1)
STEPS: Final = [0, 10, 50, 100]
AWAY: Final = 7

pytestmark = pytest.mark.timeout(7200 if IS_LONG else 120)


class Killed(BaseException):
    """The end of the controller: nothing of it may catch this, as nothing catches SIGKILL."""


class Pen:
    """Writes the journal, and dies at one of the writes, when so much of it is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int = -1, part: float = 0.0) -> None:
        self.writes = 0
        self._at = at
        self._part = part
        self._write = os.pwrite
        self._is_dead = False
        monkeypatch.setattr(os, "pwrite", self)

    def __call__(self, descriptor: int, text: bytes, offset: int) -> int:
        if not os.readlink(f"/proc/self/fd/{descriptor}").endswith("journal.jsonl"):
            return self._write(descriptor, text, offset)
        if self._is_dead:
            raise Killed
        if self.writes == self._at:
            self._is_dead = True
            self._write(descriptor, text[: round(len(text) * self._part)], offset)
            raise Killed
        self.writes += 1
        return self._write(descriptor, text, offset)

    def live(self) -> None:
        """The next controller writes."""
        self._is_dead, self._at = False, -1


async def canary(stage: Stage, pen: Pen) -> tuple[list[str], list[float]]:
    """A whole rollout, whatever happens to its controller: its events, and the weights that the proxy had in turn."""
    weights = [0.0]

    def look() -> None:
        if stage.proxy.weights()["canary"] != weights[-1]:
            weights.append(stage.proxy.weights()["canary"])

    while True:
        try:
            if not stage.conductor.book.rollouts:
                await stage.start()
            while stage.rollout("shop-1").phase != "promoted":
                await stage.tick()
                look()
                assert stage.seconds < 500, (stage.rollout("shop-1"), weights)
            return stage.kinds("shop-1"), weights
        except Killed:
            look()
            pen.live()
            await stage.restart(away=AWAY)


async def test_wherever_a_controller_is_killed_no_step_is_skipped_or_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pen = Pen(monkeypatch)
    (tmp_path / "whole").mkdir()
    async with staged(tmp_path / "whole", monkeypatch) as stage:
        whole = await canary(stage, pen)
    assert whole[1] == STEPS
    points = pen.writes
    chance, kills = random.Random(1), 0
    for time in range(TIMES):
        for at in range(time % EACH, points, EACH):
            part = (0.0, chance.random(), 1.0)[(at + time) % 3]
            folder = tmp_path / f"{at}-{time}"
            folder.mkdir()
            with monkeypatch.context() as patch:
                async with staged(folder, patch) as stage:
                    found = await canary(stage, Pen(patch, at, part))
            assert found == whole, (at, part)
            kills += 1
        with capsys.disabled():
            print(f"\n{kills} kills at {points} write points of the journal: no wrong weight, no step twice")
