"""The whole demonstration as a program: a canary goes up or is rolled back, and however it ends, nothing is left."""

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import sys
import termios
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from loadtests.demo import stage
from loadtests.demo.stage import USUAL_PORTS, Stage
from tests.support.running_demo import QUIET, ROOT, demo, exists, kinds
from tests.support.terminals import on_a_terminal

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds what was left behind in /proc"),
    pytest.mark.timeout(300),
]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


async def test_a_good_canary_goes_up_step_by_step_and_no_request_fails():
    async with demo("--steps", "20,100", "--bake", "1", "--rate", "150") as running:
        lines = await running.rest()
        assert await running.end() == (0, "")
        assert running.left() == []
    assert kinds(lines) == [
        *("ready", "traffic", "started", "prepared", "advanced", "concluded", "completed", "summary")
    ]
    first, last = lines[0], lines[-1]
    assert first["urls"].keys() == {*USUAL_PORTS}
    assert not exists(first["config"])
    assert (last["result"], last["failed"], last["break"]) == ("promoted", 0, None)
    assert last["answered"].keys() == {"stable", "canary"}
    seconds = [line for line in lines if line["event"] == "second"]
    assert seconds[-1]["service"]["versions"]["canary"]["target"] == 1
    assert any(
        "evidence" in verdict["numbers"] for line in seconds if line["now"] for verdict in line["now"]["verdicts"]
    )


async def test_what_is_not_over_in_time_is_not_promoted():
    async with demo("--seconds", "2", form=()) as running:
        assert running.program.stdout is not None
        said = (await running.program.stdout.read()).decode()
        assert await running.end() == (1, "")
        assert running.left() == []
    assert "controller  http://127.0.0.1:" in said
    assert " rollout why shop" in said
    assert "s  clients call http://127.0.0.1:" in said
    assert "\nNot over after 2 s: " in said
    assert "\nExit code 1, as a pipeline would get it.\n" in said


async def test_two_at_the_same_time_have_ports_of_their_own():
    async with demo("--seconds", "1", "--rate", "0") as one, demo("--seconds", "1", "--rate", "0") as other:
        first, second = [(await running.line())["urls"] for running in (one, other)]
        assert await one.end() == await other.end() == (1, "")
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_it_and_everything_that_it_started(number: signal.Signals):
    async with demo() as running:
        config = (await running.line())["config"]
        running.program.send_signal(number)
        lines = await running.rest()
        assert await running.end() == (128 + number, "")
        assert running.left() == []
        assert not exists(config)
    assert (lines[-1]["event"], lines[-1]["result"]) == ("summary", "stopped")


async def test_a_signal_ends_it_while_it_begins():
    async with demo() as running:
        await running.wait_for("canary")
        running.program.send_signal(signal.SIGTERM)
        assert await running.end() == (128 + signal.SIGTERM, "")
        assert running.left() == []


@pytest.mark.parametrize(("name", "words"), [("canary", ["canary"]), ("controller", ["cli", "controller"])])
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
    ports = {**USUAL_PORTS, "admin": 1}
    assert Stage(Path("serinus.yaml"), ports, []).moved_ports() == {"admin": USUAL_PORTS["admin"]}


async def test_on_a_terminal_it_draws_in_place_and_leaves_the_summary():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-P", "-m", "cli", "demo", "--seconds", "2"]
    with TemporaryDirectory(prefix="serinus-test-") as folder:
        program = await asyncio.create_subprocess_exec(
            *command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT,
            env={**on_a_terminal(), **QUIET, "TMPDIR": folder},
        )  # fmt: skip
        os.close(theirs)
        drawn = await asyncio.to_thread(read_all, ours)
        assert await program.wait() == 1
        assert os.listdir(folder) == []
    assert "\x1b[1A" in drawn  # the cursor goes up again
    assert "○ 1 % ━━━ ○ 10 %" in COLOUR.sub("", drawn)
    assert "\r\nExit code 1, as a pipeline would get it.\r\n" in drawn
    assert drawn.endswith("\r\x1b[K")  # what was in the last line is gone


def read_all(terminal: int) -> str:
    """Everything until the other end is closed, which Linux tells as an error."""
    found = b""
    with suppress(OSError):
        while some := os.read(terminal, 65536):
            found += some
    os.close(terminal)
    return found.decode()
