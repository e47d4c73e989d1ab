"""Handing this proxy over to the next version of Serinus: SIGUSR2.

Owns the next one until it serves, and the moment in which everything becomes its own. Must not drain or end this proxy:
whoever made it does, once it is told.

Rules:
1. The next one is started with the command line that this one was started with, looked up anew, so that it is what is
   installed now; it reads the file anew.
2. Until it serves, this proxy does, with all its sockets. When the next one ends, refuses, or does not serve in time,
   it is killed, this one goes on, and why is in the log, the metrics and the admin API.
3. No change is lost: from when the state is handed over, changes are refused (503, Retry-After) until either side
   serves. The file is not read again meanwhile: whoever serves in the end does that.
4. One at a time. This proxy's own end ends a handover that has not come that far.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from proxy.admin_server import AdminServer
from proxy.bequest import MAX_LINE, VARIABLE, VERSION, Bequest, Unintelligible, encode, hear
from proxy.inheritance import Passed
from proxy.supervisor import Supervisor
from webapi.systemd import OF_ONE_PROCESS, ServiceNotes

#: From SIGUSR2 until the next one serves. The start of an interpreter and of the workers takes seconds.
SECONDS: Final = 60.0
FIRST_PROCESS: Final = 1  # of a container, or of the machine

_log = logging.getLogger(__name__)


class NotTaken(Exception):
    """The next version did not take over; the text is the end of a sentence that begins with it."""


@dataclass(frozen=True, slots=True)
class Estate:
    """What is handed over, and who hears of it.

    `wants_reload` says whether somebody waits for the file to be read again; the next one does that. `leave` is called
    once everything is the next one's.
    """

    supervisor: Supervisor
    admin: AdminServer
    notes: ServiceNotes
    wants_reload: Callable[[], bool]
    leave: Callable[[], None]


class Handover:
    """The handing over of one proxy."""

    def __init__(self, estate: Estate, command: Sequence[str] | None = None, seconds: float = SECONDS) -> None:
        self._estate = estate
        self._succession = estate.supervisor.succession
        self._command = command
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the next version, unless one is on its way."""
        if self._succession.phase != "alone":
            _log.warning("SIGUSR2: %s, so nothing else begins", _WHY_NOT[self._succession.phase])
        elif os.getpid() == FIRST_PROCESS:
            self._note_failure(
                "this proxy is process 1, and a container ends with its process 1: replace the container instead"
            )
        else:
            self._succession.enter("starting")
            self._task = asyncio.create_task(self._run())

    async def abort(self) -> None:
        """End a handover that has not come so far that the next one serves."""
        if self._task is not None and self._succession.phase in ("starting", "handing_over"):
            self._task.cancel()
            await asyncio.wait({self._task})

    async def finish(self) -> None:
        """Wait until those who were connected to the admin API have had their last answer, if it was handed over."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        with _Successor(self._command or command_line()) as successor:
            try:
                async with asyncio.timeout(self._seconds):
                    await self._persuade(successor)
                self._give(successor)
            except TimeoutError:
                await self._go_on(successor, f"did not serve within {self._seconds:g} s")
            except (NotTaken, OSError) as exc:
                await self._go_on(successor, str(exc))
            except asyncio.CancelledError:
                await self._go_on(successor, "was not needed any more: this proxy ends")
            else:
                await self._estate.admin.stop_listening()

    async def _persuade(self, successor: _Successor) -> None:
        """Get the next one to serve. Raises NotTaken, OSError."""
        supervisor = self._estate.supervisor
        _log.info("SIGUSR2: starting the next version: %s", " ".join(successor.command))
        await successor.start(supervisor.lock, supervisor.listening.passed(), self._estate.admin.listening.passed())
        self._succession.successor = successor.pid
        self._estate.notes.status(f"handing over to pid {successor.pid}")
        await successor.expect("prepared")
        self._succession.enter("handing_over")
        successor.say(encode("state", legacy=(await supervisor.freeze()).write()))
        await successor.expect("serving")

    def _give(self, successor: _Successor) -> None:
        """Everything is the next one's. From here on there is no way back."""
        if successor.has_ended():
            raise NotTaken("ended when its workers served")
        self._succession.enter("handed_over")
        self._estate.notes.main_process(successor.pid)
        self._estate.supervisor.listening.give_away()
        self._estate.admin.give_away()
        successor.say(encode("yours", reload=self._estate.wants_reload()))
        _log.info("pid %d has taken over", successor.pid)
        self._estate.supervisor.events.publish("handover", result="ok", successor=successor.pid, reason="")
        successor.let_go()
        self._estate.leave()

    async def _go_on(self, successor: _Successor, reason: str) -> None:
        await successor.kill()
        self._estate.supervisor.thaw()
        self._note_failure(f"the next version {reason}")

    def _note_failure(self, reason: str) -> None:
        self._succession.fail(time.time(), reason)
        _log.error("not handed over, this proxy serves on: %s", reason)
        self._estate.notes.status(f"serves; was not handed over: {reason}")
        self._estate.supervisor.events.publish("handover", result="failed", successor=0, reason=reason)


_WHY_NOT: Final = {
    "starting": "the next version is starting already",
    "handing_over": "this proxy is being handed over already",
    "handed_over": "this proxy has been handed over",
    "taking_over": "this proxy has not taken over yet",
}


class _Successor:
    """The process of the next version, and the line to it. At the end of the block the line is closed."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command: Final = command
        self._popen: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def __enter__(self) -> _Successor:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    @property
    def pid(self) -> int:
        return self._popen.pid if self._popen is not None else 0

    async def start(self, lock: int, listen: tuple[Passed, ...], admin: tuple[Passed, ...]) -> None:
        """Start it with everything that it inherits. Raises NotTaken, OSError."""
        near, far = socket.socketpair()
        with far:
            bequest = Bequest(VERSION, os.getpid(), far.fileno(), lock, listen, admin)
            self._reader, self._writer = await asyncio.open_connection(sock=near, limit=MAX_LINE)
            self._start(bequest)

    def _start(self, bequest: Bequest) -> None:
        environ = {name: value for name, value in os.environ.items() if name not in OF_ONE_PROCESS}
        try:
            # Not asyncio's: that ends its children with itself.
            self._popen = subprocess.Popen(
                self.command, pass_fds=bequest.descriptors, env={**environ, VARIABLE: bequest.write()}
            )
        except OSError as exc:
            raise NotTaken(f"could not be started: {exc}") from exc

    def say(self, line: bytes) -> None:
        assert self._writer is not None
        if not self._writer.is_closing():  # else the next word that is waited for does not come
            self._writer.write(line)

    async def expect(self, word: str) -> None:
        """Wait for a word. Raises NotTaken."""
        assert self._reader is not None
        try:
            said = await hear(self._reader)
        except Unintelligible as exc:
            raise NotTaken(f"cannot be understood: {exc}") from exc
        if said is None:
            raise NotTaken(await self._end())
        if said["word"] == "failed":
            raise NotTaken(f"refused: {said.get('reason')}")
        if said["word"] != word:
            raise NotTaken(f"said {said['word']!r} instead of {word!r}")

    def has_ended(self) -> bool:
        return self._popen is None or self._popen.poll() is not None

    async def kill(self) -> None:
        """End it; its workers then finish what they have, and end."""
        if self._popen is not None:
            self._popen.kill()
            await asyncio.to_thread(self._popen.wait)

    def let_go(self) -> None:
        """It outlives this process: nobody here waits for its end."""
        if self._popen is not None:
            self._popen.returncode = 0

    async def _end(self) -> str:
        """How it ended."""
        assert self._popen is not None
        with suppress(subprocess.TimeoutExpired):
            status = await asyncio.to_thread(self._popen.wait, 2.0)
            return f"ended with status {status} before it served" if status >= 0 else f"ended with signal {-status}"
        return "closed its line before it served"


def command_line(argv: Sequence[str] | None = None, executable: str = sys.executable) -> list[str]:
    """How this process was started, so that what is installed now is started.

    A script is run by itself: its first line may name another interpreter by now.
    """
    first, *rest = argv if argv is not None else sys.orig_argv
    if rest and not rest[0].startswith("-") and os.access(rest[0], os.X_OK):
        return rest
    return [executable or first, *rest]
