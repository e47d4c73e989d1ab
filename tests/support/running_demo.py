"""`serinus demo` as a program of its own: its lines, what it has started, and that nothing of it is left.

Owns finding what belongs to it, by a mark in the environment, which every child inherits.
"""

import asyncio
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[2]
MARK = "SERINUS_TEST_MARK"
#: On a busy machine, the debug mode of asyncio talks of slow callbacks.
QUIET = {"PYTHONASYNCIODEBUG": ""}


class Demo:
    """A running `serinus demo --json`; everything that it starts carries the mark in its environment."""

    def __init__(self, program: Process, mark: str) -> None:
        self.program = program
        self._mark = f"{MARK}={mark}".encode()

    async def line(self) -> Any:
        """The next line; None at the end."""
        assert self.program.stdout is not None
        line = await self.program.stdout.readline()
        return json.loads(line) if line else None

    async def rest(self) -> list[Any]:
        """All further lines."""
        lines: list[Any] = []
        while (line := await self.line()) is not None:
            lines.append(line)
        return lines

    async def end(self) -> tuple[int, str]:
        """The exit code and what is on standard error."""
        assert self.program.stderr is not None
        await self.rest()
        said = await self.program.stderr.read()
        return await self.program.wait(), said.decode()

    def left(self, *words: str) -> list[int]:
        """The programs with the mark and these words on their command line."""
        return [pid for pid, line in self._marked() if all(word in line for word in words)]

    async def wait_for(self, *words: str) -> None:
        """Wait until there is such a program."""
        while not self.left(*words):  # noqa: ASYNC110 - what other programs do tells no event
            await asyncio.sleep(0.01)

    async def wait_until_nothing_is_left(self) -> None:
        while self.left():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)

    def _marked(self) -> Iterator[tuple[int, list[str]]]:
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and self._mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name), (folder / "cmdline").read_text().split("\0")
            except OSError:
                continue  # it has just ended, or is somebody else's


@asynccontextmanager
async def demo(*options: str, form: Sequence[str] = ("--json",)) -> AsyncIterator[Demo]:
    mark = uuid.uuid4().hex
    folder = TemporaryDirectory(prefix="serinus-test-")  # a demo that is killed cannot take its own away
    command: Sequence[str] = [sys.executable, "-P", "-m", "cli", "demo", *form, *options]
    program = await asyncio.create_subprocess_exec(
        *command,
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
        env={**os.environ, **QUIET, MARK: mark, "TMPDIR": folder.name},
        limit=2**20,
    )
    running = Demo(program, mark)
    try:
        yield running
    finally:
        for pid in running.left():
            os.kill(pid, signal.SIGKILL)
        await program.wait()
        folder.cleanup()


def exists(path: str) -> bool:
    return Path(path).exists()


def kinds(lines: Sequence[Any]) -> list[str]:
    """The events in their order, without the seconds between them."""
    return [line["event"] for line in lines if line["event"] != "second"]
