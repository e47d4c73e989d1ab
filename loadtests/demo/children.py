"""Child programs of the demonstration: started in a group of their own, and gone for certain at the end.

Owns the life of one child. Must not know what the children are.

1. A child is in its own session, so that Ctrl-C reaches the demo alone, and the demo ends its children in order.
2. `stop` asks (SIGTERM), waits, and kills the whole group, also when it is cancelled half-way.
3. A child whose parent was killed is asked to stop by the kernel (Linux).
"""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STOP_SECONDS: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Child:
    """One running program."""

    name: str
    program: Process
    log: Path

    @classmethod
    async def start(cls, name: str, command: Sequence[str], folder: Path, inherit: Collection[int] = ()) -> "Child":
        """Start a program; what it prints goes to `folder/name.log`."""
        log = folder / f"{name}.log"
        with log.open("wb") as output:
            program = await asyncio.create_subprocess_exec(
                *command,
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                pass_fds=tuple(inherit),
                start_new_session=True,
                preexec_fn=stop_with_parent(),
            )
        return cls(name, program, log)

    async def stop(self) -> None:
        """End the program and everything that it started."""
        try:
            if self.program.returncode is None:
                self.program.terminate()
                await asyncio.wait_for(self.program.wait(), _STOP_SECONDS)
        except (TimeoutError, ProcessLookupError):
            pass  # it gets no more time, or has just ended by itself
        finally:
            self._kill_group()
        await self.program.wait()

    def kill(self) -> None:
        """Kill the program and everything that it started, at once."""
        self._kill_group()

    def last_words(self, lines: int = 12) -> str:
        """The end of what it printed."""
        with self.log.open(encoding="utf-8", errors="replace") as text:
            return "".join(deque(text, maxlen=lines)).rstrip()

    def obituary(self) -> str:
        """How it ended, and its last words."""
        code = self.program.returncode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        words = self.last_words()
        return f"{self.name} ({self.program.pid}) {how}" + (f"; its last words:\n{words}" if words else "")

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):  # the usual case: nobody of the group is left
            os.killpg(self.program.pid, signal.SIGKILL)


def stop_with_parent() -> Callable[[], None] | None:
    """What a child does before it starts: have the kernel send it SIGTERM when its parent is gone."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded here, because after the fork as little as possible should happen
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
