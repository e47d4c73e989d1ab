"""The proxy that this one takes over from, as seen from here.

Owns the line to it. Must not start or serve anything.

Rules:
1. Until it says `yours`, everything is its own: nothing is written to the state folder, no change is taken, no call of
   the admin API answered, so that it can go on as if nothing had been.
2. When it ends before that, nobody is left who could go on: then everything is ours at once. What it has confirmed to
   anybody is in the state folder.
3. Each word is waited for, WAIT_SECONDS at most.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from proxy.bequest import MAX_LINE, Bequest, Unintelligible, Word, encode, hear
from proxy.inheritance import Inheritance
from proxy.legacy import Legacy, read_legacy

#: Longer than the other side waits for us: it ends us before.
WAIT_SECONDS: Final = 90.0

_log = logging.getLogger(__name__)


class TakeoverError(Exception):
    """The proxy before does not hand over; the text says why."""


class Predecessor:
    """The proxy before this one, and what it has passed."""

    def __init__(self, bequest: Bequest) -> None:
        self.pid: Final = bequest.pid
        self.lock: Final = bequest.lock
        self.listen: Final = Inheritance(passed=list(bequest.listen))
        self.admin: Final = Inheritance(passed=list(bequest.admin))
        self._line = socket.socket(fileno=bequest.control)
        self._line.set_inheritable(False)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def give_up(self, reason: str) -> None:
        """Say why nothing comes of it, before the line is used otherwise or after."""
        with suppress(OSError):
            self._line.sendall(encode("failed", reason=reason))

    async def legacy(self) -> Legacy:
        """Say that the file is good, and wait for everything that there is. Raises TakeoverError."""
        reader, self._writer = await asyncio.open_connection(sock=self._line.dup(), limit=MAX_LINE)
        self._reader = reader
        said = await self._ask("prepared", "state")
        if said is None:
            _log.warning("the proxy before (pid %d) has ended: taking over with what is on disk", self.pid)
            return Legacy()
        try:
            return read_legacy(said.get("legacy"))
        except ValueError as exc:
            raise TakeoverError(f"what the proxy before hands over {exc}") from exc

    async def take_over(self) -> bool:
        """Say that the workers serve, and wait until everything is ours; whether the file is to be read again."""
        said = await self._ask("serving", "yours")
        if said is None:
            _log.warning("the proxy before (pid %d) has ended: taking over", self.pid)
        if self._writer is not None:
            self._writer.close()
        self._line.close()
        return said is not None and bool(said.get("reload"))

    async def _ask(self, word: Word, answer: Word) -> Mapping[str, Any] | None:
        assert self._writer is not None
        assert self._reader is not None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                if not self._writer.is_closing():
                    self._writer.write(encode(word))
                said = await hear(self._reader)
        except TimeoutError as exc:
            raise TakeoverError(f"the proxy before says nothing for {WAIT_SECONDS:g} s") from exc
        except Unintelligible as exc:
            raise TakeoverError(f"the proxy before cannot be understood: {exc}") from exc
        if said is not None and said["word"] != answer:
            raise TakeoverError(f"the proxy before says {said['word']!r} instead of {answer!r}")
        return said
