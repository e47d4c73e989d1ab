"""The lease: one controller acts on a state folder, a second one waits until the first has gone.

Owns the lock. It is the kernel's, so it ends with its holder, however that ends; a holder that stands still keeps it.
Must not be held by a child: descriptors of ours are not inherited.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_FILE: Final = "controller.lock"
_LOOK_SECONDS: Final = 0.2
_log = logging.getLogger(__name__)


class LeaseError(Exception):
    """The folder cannot be used; the text says why."""


class Lease:
    """The right to act, from `take` to `close`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    async def take(cls, folder: Path) -> Lease:
        """Wait until nobody else has the folder, and take it.

        Raises:
            LeaseError: it cannot be used.
        """
        descriptor = _open(folder)
        try:
            await _lock(descriptor, folder)
        except BaseException:
            os.close(descriptor)
            raise
        with suppress(OSError):  # only for the message below: a full disk is no reason not to start
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(descriptor)

    def close(self) -> None:
        """Let another controller act."""
        os.close(self._descriptor)


def _open(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        return os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        raise LeaseError(f"{folder} cannot be used: {exc.strerror or exc}: {exc.filename}") from exc


async def _lock(descriptor: int, folder: Path) -> None:
    has_told = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not has_told:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                _log.info("%s belongs to another controller (pid %s): waiting until it has gone", folder, holder)
                has_told = True
        await asyncio.sleep(_LOOK_SECONDS)
