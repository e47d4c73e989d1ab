"""Programs that a rollout runs: commands from the configuration, without a shell.

Owns the words of a command, its deadline and the end of its output. Must not know what its success means.

1. Words in braces are replaced within words of the command, so that no value is ever split or expanded.
2. A program has a process group of its own. What it has started is killed with it when its time is over.
3. Of the output, only the last `KEPT` bytes are kept.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program has ended; `status` is None when it could not be started or had to be killed."""

    status: int | None
    output: str
    trouble: str = ""

    @property
    def words(self) -> str:
        """What happened, with the last line of the output."""
        last = self.output.strip().rpartition("\n")[2][:200]
        happened = self.trouble or f"exit status {self.status}"
        return f"{happened}: {last}" if last else happened


def words_of(command: str, values: Mapping[str, str]) -> list[str]:
    """The words of a command with `{service}` and the like replaced."""
    words = shlex.split(command)
    for name, value in values.items():
        words = [word.replace(f"{{{name}}}", value) for word in words]
    return words


async def run(words: list[str], timeout: float) -> Ended:
    """Run a program to its end, or until its time is over."""
    try:
        program = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        return Ended(None, "", f"could not be started: {getattr(exc, 'strerror', None) or exc}")
    tail = _Tail()
    try:
        async with asyncio.timeout(timeout):
            await tail.read(program)
            await program.wait()
    except TimeoutError:
        return Ended(None, tail.text, f"killed after {timeout:g} s")
    finally:
        _kill_group(program.pid)
        with suppress(ProcessLookupError):
            await asyncio.shield(program.wait())
    return Ended(program.returncode, tail.text)


class _Tail:
    """The end of an output."""

    def __init__(self) -> None:
        self._bytes = b""

    @property
    def text(self) -> str:
        return self._bytes.decode("utf-8", "replace")

    async def read(self, program: asyncio.subprocess.Process) -> None:
        assert program.stdout is not None
        while chunk := await program.stdout.read(65536):
            self._bytes = (self._bytes + chunk)[-KEPT:]


def _kill_group(group: int) -> None:
    """End whatever is left of a program; nothing is, as a rule."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
