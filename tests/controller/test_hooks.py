"""Deploy hooks are run once, to their end, whatever becomes of the controller."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from controller.core.actions import RunDeploy
from controller.core.model import Rollout
from controller.core.observed import RunEnd
from controller.hook_runner import KEPT, LIMIT
from controller.hooks import Hooks
from tests.support.rollout_world import World
from tests.support.waiting import has_ended, until

RUN = RunDeploy(1, "127.0.0.1:9001", "canary", "stable")


def deploying(deploy: str) -> Rollout:
    """A rollout whose first run is under way."""
    world = World(f"strategy: rolling, deploy: {deploy}")
    world.deploys = lambda run: None
    while not world.runs:
        world.tick()
    assert world.runs == [RUN]
    return world.rollout


def running(*words: str, timeout: str = "60s") -> Rollout:
    return deploying(json.dumps({"exec": " ".join([sys.executable, *words]), "timeout": timeout}))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def hooks(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[Hooks]:
    hooks = Hooks(tmp_path / "runs", session)
    yield hooks
    await hooks.close()


async def ended(hooks: Hooks, rollout: Rollout, run: RunDeploy = RUN) -> RunEnd:
    """How a run ends that is asked for again and again."""
    while run.run not in hooks.ends(rollout):
        hooks.ensure(rollout, run)
        await asyncio.sleep(0.01)
    return hooks.ends(rollout)[run.run]


async def test_a_command_is_run_once_with_its_words_replaced(tmp_path: Path, hooks: Hooks):
    note = tmp_path / "note"
    code = f"import sys; open({str(note)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10)); print('done')"
    script = tmp_path / "deploy.py"
    script.write_text(code)
    rollout = running(str(script), "{service}", "{endpoint}", "{version}", "{previous}")
    assert await ended(hooks, rollout) == RunEnd(True, "exit status 0: done")
    hooks.ensure(rollout, RUN)
    assert note.read_text() == "shop 127.0.0.1:9001 canary stable\n"
    assert (tmp_path / "runs" / "shop-1.1.json.output").read_text() == "done\n"


@pytest.mark.parametrize(
    ("words", "timeout", "detail"),
    [
        (["-c", "\"import sys; sys.exit('disk full')\""], "60s", "exit status 1: disk full"),
        (["-c", "'import time; time.sleep(60)'"], "200ms", "killed after 0.2 s"),
    ],
)
async def test_a_command_that_fails_says_how(hooks: Hooks, words: list[str], timeout: str, detail: str):
    assert await ended(hooks, running(*words, timeout=timeout)) == RunEnd(False, detail)


FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize(("seconds", "timeout", "goes_on"), [(0, "60s", True), (600, "1s", False)])
async def test_what_a_command_has_started_goes_on_after_its_end_and_is_killed_with_it_when_its_time_is_over(
    tmp_path: Path, hooks: Hooks, seconds: float, timeout: str, goes_on: bool
):
    script, note = tmp_path / "deploy.py", tmp_path / "child"
    script.write_text(FAMILY)
    end = await ended(hooks, running(str(script), str(note), str(seconds), timeout=timeout))
    assert end == RunEnd(goes_on, "exit status 0" if goes_on else "killed after 1 s")
    child = int(note.read_text())
    if goes_on:
        assert not has_ended(child)
        os.kill(child, signal.SIGKILL)
    await until(lambda: has_ended(child))


LOUD = """
import pathlib, sys, time
for _ in range(64):
    sys.stdout.write("x" * 2**20)
sys.stdout.flush()
here = pathlib.Path(sys.argv[1])
(here / "written").touch()
while not (here / "go").exists(): time.sleep(0.01)
print("\\nthe end")
"""


async def test_of_a_huge_output_only_the_end_is_kept(tmp_path: Path, hooks: Hooks):
    script, output = tmp_path / "loud.py", tmp_path / "runs" / "shop-1.1.json.output"
    script.write_text(LOUD)
    rollout = running(str(script), str(tmp_path))
    hooks.ensure(rollout, RUN)
    await until(lambda: (tmp_path / "written").exists() and output.stat().st_size <= LIMIT)
    (tmp_path / "go").touch()
    assert await ended(hooks, rollout) == RunEnd(True, "exit status 0: the end")
    result = json.loads((tmp_path / "runs" / "shop-1.1.json").read_text())
    assert (len(result["output"]), result["output"][-10:]) == (KEPT, "x\nthe end\n")
    assert output.stat().st_size <= LIMIT


async def test_a_command_that_cannot_be_started_says_why(hooks: Hooks):
    rollout = deploying("{exec: /nowhere/deploy}")
    assert await ended(hooks, rollout) == RunEnd(False, "could not be started: No such file or directory")


SLOW = "import pathlib, sys, time; here = pathlib.Path(sys.argv[1]); (here / 'begun').open('a').write('x')\n" + (
    "while not (here / 'go').exists(): time.sleep(0.01)\n"
)


async def test_a_command_goes_on_when_the_controller_ends_and_the_next_one_finds_its_end(
    tmp_path: Path, session: aiohttp.ClientSession
):
    (tmp_path / "slow.py").write_text(SLOW)
    rollout = running(str(tmp_path / "slow.py"), str(tmp_path))
    first = Hooks(tmp_path / "runs", session)
    first.ensure(rollout, RUN)
    await until((tmp_path / "begun").exists)
    await first.close()
    second = Hooks(tmp_path / "runs", session)
    for _ in range(3):
        second.ensure(rollout, RUN)
        assert second.ends(rollout) == {}
    (tmp_path / "go").touch()
    assert await ended(second, rollout) == RunEnd(True, "exit status 0")
    assert (tmp_path / "begun").read_text() == "x"
    await second.close()


async def test_a_command_that_was_cut_off_has_failed(tmp_path: Path, hooks: Hooks):
    (tmp_path / "slow.py").write_text(SLOW)
    rollout = running(str(tmp_path / "slow.py"), str(tmp_path))
    hooks.ensure(rollout, RUN)
    await until((tmp_path / "begun").exists)
    (runner,) = hooks._runners.values()
    command = children_of(runner.pid)
    os.kill(runner.pid, signal.SIGKILL)
    assert await ended(hooks, rollout) == RunEnd(False, "was cut off, and nobody knows how far it came")
    for pid in command:
        os.kill(pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_command_that_had_not_begun_is_begun(tmp_path: Path, hooks: Hooks):
    (tmp_path / "runs" / "shop-1.1.json.running").touch()
    assert await ended(hooks, running("-c", "0")) == RunEnd(True, "exit status 0")


async def test_a_runner_that_cannot_run_fails_instead_of_running_for_ever(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("controller.hooks._RUNNER", (sys.executable, "-c", "import sys; sys.exit(9)"))
    assert await ended(hooks, running("-c", "0")) == RunEnd(False, "was cut off, and nobody knows how far it came")


async def test_every_run_is_its_own(tmp_path: Path, hooks: Hooks):
    world = World("strategy: rolling, deploy: {exec: 'false'}")
    world.deploys = lambda run: RunEnd(run.version == "stable", "")
    world.until("rolled_back")
    first, second = world.runs
    assert hooks.ends(world.rollout) == {}
    for run in (first, second):
        hooks.ensure(world.rollout, run)
    await until(lambda: len([*(tmp_path / "runs").glob("*.json")]) == 2)


class Webhook:
    """Answers what the test says, and remembers what it got."""

    def __init__(self) -> None:
        self.answers: list[int | None] = [200]
        self.got: list[tuple[str, object]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((request.headers["Idempotency-Key"], await request.json()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await asyncio.Event().wait()
        return web.Response(status=answer or 200, text="said so")


@pytest.fixture
async def webhook() -> AsyncIterator[tuple[Webhook, str]]:
    webhook, app = Webhook(), web.Application()
    app.router.add_post("/", webhook.answer)
    async with TestServer(app, handler_cancellation=True) as server:
        yield webhook, str(server.make_url("/"))


async def test_a_webhook_gets_the_words_and_the_number_of_the_run(hooks: Hooks, webhook: tuple[Webhook, str]):
    received, url = webhook
    assert await ended(hooks, deploying(json.dumps({"webhook": url}))) == RunEnd(True, "status 200: said so")
    values = {"service": "shop", "endpoint": "127.0.0.1:9001", "version": "canary", "previous": "stable"}
    assert received.got == [("shop-1.1", values)]


async def test_a_webhook_is_posted_again_after_trouble_and_not_after_a_refusal(
    hooks: Hooks, webhook: tuple[Webhook, str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("controller.hooks._PAUSE_SECONDS", 0.01)
    received, url = webhook
    received.answers = [503, 500, 409]
    assert await ended(hooks, deploying(json.dumps({"webhook": url}))) == RunEnd(False, "status 409: said so")
    assert [key for key, _ in received.got] == ["shop-1.1"] * 3


async def test_a_webhook_without_an_answer_has_failed_in_the_end(hooks: Hooks, webhook: tuple[Webhook, str]):
    received, url = webhook
    received.answers = [None]
    rollout = deploying(json.dumps({"webhook": url, "timeout": "100ms"}))
    assert await ended(hooks, rollout) == RunEnd(False, "no good answer within 0.1 s")


async def test_a_webhook_is_posted_again_after_a_restart_with_the_same_number(
    tmp_path: Path, session: aiohttp.ClientSession, webhook: tuple[Webhook, str]
):
    received, url = webhook
    received.answers = [None, 200]
    rollout = deploying(json.dumps({"webhook": url}))
    first = Hooks(tmp_path / "runs", session)
    first.ensure(rollout, RUN)
    await until(lambda: received.got)
    await first.close()
    second = Hooks(tmp_path / "runs", session)
    assert (await ended(second, rollout)).ok
    assert [key for key, _ in received.got] == ["shop-1.1"] * 2
    await second.close()


async def test_an_end_that_cannot_be_read_is_a_failure(tmp_path: Path, hooks: Hooks):
    (tmp_path / "runs" / "shop-1.1.json").write_text("{")
    assert "cannot be read" in (await ended(hooks, running("-c", "0"))).detail


async def test_what_is_kept_of_a_forgotten_rollout_is_deleted(tmp_path: Path, hooks: Hooks):
    await ended(hooks, running("-c", "0"))
    (tmp_path / "runs" / "shop-11.1.json").touch()
    hooks.forget(["shop-1"])
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["shop-11.1.json"]
