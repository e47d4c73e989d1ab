"""Where the programs speak to people: lines on standard error, written by a thread of its own once it has to wait.

Owns the thread and the lines that wait for it. Must not decide what is said.

Rules:
1. Whoever says something goes on, however slowly standard error is read, or not at all: a line is waited for while
   lines get through, a moment at most, so that what was said before an answer can be read once the answer is there.
2. While lines get through at once there is no thread: a second thread costs a worker some 300 instructions a request,
   because the C library then locks what it did not need to lock.
3. At most LINES_MOST lines wait. What is said beyond them is dropped, and how much that was is told once it can be.
4. Written past Python's own buffer: a thread that held its lock for ever would abort the interpreter at its end.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from contextlib import suppress
from typing import Final

LINES_MOST: Final = 1000
PATIENCE: Final = 0.05  # seconds
FAREWELL: Final = 1.0
STANDARD_ERROR: Final = 2


class Aside(logging.Handler):
    """Writes log lines without holding up whoever logs."""

    def __init__(self, fd: int = STANDARD_ERROR) -> None:
        super().__init__()
        self._fd = fd
        self._changed = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._is_stuck = False
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line written."""
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        if self._thread is None:
            if self._takes(line):
                self._write(line)
                return
            self._thread = threading.Thread(target=self._run, name="standard-error", daemon=True)
            self._thread.start()
        with self._changed:
            if len(self._lines) >= LINES_MOST:
                self._dropped += 1
                return
            self._lines.append(line)
            self._changed.notify_all()
            if not self._is_stuck:
                self._is_stuck = not self._all_written(PATIENCE)

    def flush(self) -> None:
        """Wait for what is left to be written, a second at most."""
        with self._changed:
            self._all_written(FAREWELL)

    def _takes(self, line: bytes) -> bool:
        """Whether a line can be written without waiting: so much fits into a pipe that is ready (POSIX, write)."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return len(line) <= select.PIPE_BUF and bool(poll.poll(0))

    def _all_written(self, seconds: float) -> bool:
        return self._changed.wait_for(lambda: not self._lines, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines))
                line = self._lines[0]
            self._write(line)
            with self._changed:
                self._lines.popleft()
                if not self._lines and self._dropped:
                    self._lines.append(b"%d lines are missing here: nobody read them\n" % self._dropped)
                    self._dropped = 0
                self._is_stuck = self._is_stuck and bool(self._lines)
                self._changed.notify_all()

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        with suppress(OSError):  # it is closed, or its disk is full: there is nobody to tell
            while rest:
                rest = rest[os.write(self._fd, rest) :]


def speak_on_standard_error(layout: str) -> None:
    """Let everything that is logged from here on be said there; `layout` as in logging.Formatter."""
    logging.basicConfig(handlers=[Aside()], level=logging.INFO, format=layout)
