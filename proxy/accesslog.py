"""The access log's way to a file or to standard output, off the data path.

Owns the file, its reopening and the thread that writes. Must not form lines (proxy/wire/logline.pyx).

Rules:
1. The data path never waits: batches go into a bounded queue, and what does not fit is dropped and counted.
2. A batch holds whole lines and is written with O_APPEND, so several workers can write to one file.
3. A reader that stalls, a full disk and a closed pipe cost lines, nothing else.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque

log = logging.getLogger(__name__)

#: Batches that may wait for the writer, of about 64 KiB each.
QUEUE = 64
STANDARD_OUTPUT = 1


class LogFile:
    """Writes batches from a thread of its own; `path` empty: standard output. Raises OSError."""

    def __init__(self, path: str) -> None:
        self.dropped = 0  # lines
        self._path = path
        self._batches: deque[bytes | None] = deque()
        self._wake = threading.Condition()
        self._reopen = False
        self._fd = self._open()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def put(self, batch: bytes) -> None:
        """Have a batch of lines written; dropped when too many wait."""
        with self._wake:
            if len(self._batches) >= QUEUE:
                self.dropped += batch.count(b"\n")
                return
            self._batches.append(batch)
            self._wake.notify()

    def reopen(self) -> None:
        """Open the file by its name again, after a rotation."""
        with self._wake:
            self._reopen = True
            self._batches.append(b"")
            self._wake.notify()

    def close(self, timeout: float = 1.0) -> None:
        """Write what waits, within `timeout` seconds."""
        with self._wake:
            self._batches.append(None)
            self._wake.notify()
        self._thread.join(timeout)

    def _open(self) -> int:
        if not self._path:
            return STANDARD_OUTPUT
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._batches:
                    self._wake.wait()
                batch = self._batches.popleft()
                reopen, self._reopen = self._reopen, False
            if reopen:
                self._open_again()
            if batch is None:
                return
            if batch:
                self._write(batch)

    def _open_again(self) -> None:
        try:
            fd = self._open()
        except OSError as exc:
            log.error("the access log %s cannot be reopened, the old file stays: %s", self._path, exc)
            return
        if self._fd not in (fd, STANDARD_OUTPUT):
            os.close(self._fd)
        self._fd = fd

    def _write(self, batch: bytes) -> None:
        rest = memoryview(batch)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            self._failing = False
        except OSError as exc:
            self.dropped += bytes(rest).count(b"\n")
            if not self._failing:
                log.error("the access log cannot be written, lines are dropped: %s", exc)
            self._failing = True
