"""The whole demonstration as a program: it shows two versions, and however it ends, it leaves nothing behind."""

import asyncio
import json
import os
import signal
import socket
import sys
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from cli.client import AdminClient
from loadtests.demo import stage
from loadtests.demo.stage import Stage

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds what was left behind in /proc"),
    pytest.mark.timeout(120),
]
ROOT = Path(__file__).parents[2]
MARK = "SERINUS_TEST_MARK"


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
        lines = []
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
async def demo(*options: str) -> AsyncIterator[Demo]:
    mark = uuid.uuid4().hex
    folder = TemporaryDirectory(prefix="serinus-test-")  # a demo that is killed cannot take its own away
    command: Sequence[str] = [sys.executable, "-P", "-m", "cli", "demo", "--json", "--workers", "2", *options]
    program = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, cwd=ROOT, env={**os.environ, MARK: mark, "TMPDIR": folder.name}, limit=2**20
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


async def test_it_shows_two_versions_being_served_and_ends_by_itself():
    async with demo("--seconds", "3") as running:
        first, *seconds, last = await running.rest()
        assert await running.end() == (0, "")
        assert running.left() == []
    assert first["urls"].keys() == {"proxy", "admin", "stable", "canary"}
    assert not exists(first["config"])
    assert [*seconds[-1]["service"]["versions"]] == ["stable", "canary"]
    assert last["summary"]["failed"] == 0
    assert last["summary"]["answered"].keys() == {"stable", "canary"}


async def test_a_split_moves_it():
    async with demo() as running:
        urls = (await running.line())["urls"]
        AdminClient(urls["admin"]).set_split("shop", {"stable": 0.0, "canary": 1.0})
        while (await running.line())["traffic"]["answered"].get("canary", 0) < 200:
            pass
        before = (await running.line())["traffic"]["answered"].get("stable", 0)
        assert (await running.line())["traffic"]["answered"].get("stable", 0) == before


async def test_it_is_a_check_that_fails_when_a_request_failed():
    async with demo("--seconds", "3") as running:
        urls = (await running.line())["urls"]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(urls["stable"].rpartition(":")[2]))
        body = b'{"error_rate": 1}'
        writer.write(b"PUT /knobs HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
        writer.write(body)
        await reader.read()
        writer.close()
        assert (await running.rest())[-1]["summary"]["failed"] > 0
        assert (await running.end())[0] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_and_everything_that_it_started(number: signal.Signals):
    async with demo() as running:
        await running.line()
        running.program.send_signal(number)
        assert await running.end() == (0, "")
        assert running.left() == []


async def test_a_signal_ends_it_while_it_begins():
    async with demo() as running:
        await running.wait_for("canary")
        running.program.send_signal(signal.SIGTERM)
        assert await running.end() == (0, "")
        assert running.left() == []


@pytest.mark.parametrize(("name", "words"), [("canary", ["canary"]), ("proxy", ["cli", "proxy"])])
async def test_a_child_that_dies_is_named_and_ends_everything(name: str, words: list[str]):
    async with demo() as running:
        await running.line()
        (pid,) = running.left(*words)
        os.kill(pid, signal.SIGKILL)
        code, said = await running.end()
        assert (code, json.loads(said)["error"].partition(";")[0]) == (1, f"{name} ({pid}) was ended by SIGKILL")
        await running.wait_until_nothing_is_left()


async def test_nothing_is_left_when_it_is_killed_itself():
    async with demo() as running:
        await running.line()
        running.program.kill()
        await running.end()
        await running.wait_until_nothing_is_left()


def test_a_port_that_is_taken_gives_way_to_a_free_one():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with stage._listen(port) as other:
            assert other.getsockname()[1] != port


def test_the_usual_ports_that_were_taken_are_known_by_name():
    ports = {"proxy": stage.PROXY_PORT, "admin": 1, **stage.VERSION_PORTS}
    assert Stage(Path("serinus.yaml"), ports, []).moved_ports() == {"admin": stage.ADMIN_PORT}
