"""Recording a rollout: the rows of its series are written beside the decisions, and never before or instead of them.

Owns the wait between a row and the file. Must not know what a row means.

1. `put` does not wait. Rows are written in a thread, all that have come since the last time at once.
2. What cannot be written is tried again with what comes next. Up to `WAITING` rows wait; then the oldest are lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.core.series import Row
from controller.series_file import SeriesFile, path_of

#: As many seconds as a proxy remembers.
WAITING: Final = 900
CLOSING_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


class Recording:
    """The series of one rollout, being written."""

    def __init__(self, folder: Path, identity: str) -> None:
        self._path = path_of(folder, identity)
        self._file: SeriesFile | None = None
        self._waiting: deque[Row] = deque(maxlen=WAITING)
        self._task: asyncio.Task[None] | None = None
        self._is_told = False
        #: The second after the last one that was put; None before the first.
        self.end: int | None = None

    def put(self, rows: Iterable[Row]) -> None:
        """Have rows written soon."""
        for row in rows:
            self._waiting.append(row)
            self.end = row.end
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write(), name=f"recording {self._path.stem}")

    async def flush(self) -> None:
        """Wait until everything is written that can be."""
        while True:
            if self._task is not None and not self._task.done():
                await self._task
            elif self._waiting and not self._is_told:
                self.put(())
            else:
                return

    async def close(self) -> None:
        """Write what is left, if that is soon done."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await self.flush()

    async def _write(self) -> None:
        rows = tuple(self._waiting)
        try:
            await asyncio.to_thread(self._append, rows)
        except OSError as exc:
            if not self._is_told:
                _log.warning("%s cannot be written: %s; no decision needs it", self._path, exc.strerror or exc)
            self._is_told = True
            return
        self._is_told = False
        # Others may have come, and pushed out the oldest, in the meantime.
        while self._waiting and self._waiting[0].at <= rows[-1].at:
            self._waiting.popleft()

    def _append(self, rows: tuple[Row, ...]) -> None:
        if self._file is None:
            self._file = SeriesFile(self._path)
        end = self._file.end
        self._file.append([row for row in rows if end is None or row.at >= end])
