"""Deploy hooks: put a version on an endpoint by a command or a webhook, each run once.

Owns the runs and the files that say how they ended. Must not decide on a run or on what its end means.

1. A run has a number within its rollout, and a command is never started twice for one number. A command goes on when
   the controller ends or is killed, and the next controller finds how it ended.
2. A webhook carries its number as Idempotency-Key. It is posted again where it is not known to have arrived, and after
   a restart of the controller.
3. A command that was cut off, as by a crash of the machine, has failed: nobody knows how far it came.

Files, in a folder of ours: `ID.json` how a run ended, `ID.json.output` what it printed, `ID.json.running` a lock that
its runner holds.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from config.model import RollingRollout
from config.rollout import Deploy
from controller.core.actions import RunDeploy
from controller.core.model import Rollout
from controller.core.observed import RunEnd
from controller.hook_runner import write_result
from controller.programs import words_of

#: -P, because the folder that the controller is started in may hold a `controller` package of its own.
_RUNNER: Final = (sys.executable, "-P", "-m", "controller.hook_runner")
_PAUSE_SECONDS: Final = 5.0
_CUT_OFF: Final = "was cut off, and nobody knows how far it came"
_log = logging.getLogger(__name__)


class Hooks:
    """The runs of all rollouts. `session` belongs to whoever made it. Raises OSError when the folder cannot be made."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._folder = folder
        self._session = session
        self._ends: dict[str, RunEnd] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runners: dict[str, subprocess.Popen[bytes]] = {}

    def ends(self, rollout: Rollout) -> dict[int, RunEnd]:
        """How the last runs on each endpoint have ended, as far as they have."""
        found = {unit.run: self._end(_identity(rollout, unit.run)) for unit in rollout.units if unit.run}
        return {run: end for run, end in found.items() if end is not None}

    def ensure(self, rollout: Rollout, run: RunDeploy) -> None:
        """Have a run under way that has not ended. What cannot be started now is tried when this is asked again."""
        policy = rollout.policy
        assert isinstance(policy, RollingRollout)
        assert policy.deploy is not None
        identity = _identity(rollout, run.run)
        values = {
            "service": rollout.service,
            "endpoint": run.address,
            "version": run.version,
            "previous": run.previous,
        }
        try:
            if policy.deploy.exec is not None:
                self._ensure_command(identity, words_of(policy.deploy.exec, values), policy.deploy.timeout)
            elif identity not in self._tasks:
                posting = self._post(identity, policy.deploy, values)
                self._tasks[identity] = asyncio.create_task(posting, name=f"hook {identity}")
        except OSError as exc:
            _log.error("the deploy hook for %s cannot be run now: %s", run.address, exc)

    def forget(self, rollouts: Iterable[str]) -> None:
        """Delete what is kept of rollouts."""
        for rollout in rollouts:
            for path in self._folder.glob(f"{rollout}.*"):
                with suppress(OSError):
                    path.unlink()

    async def close(self) -> None:
        """Let commands go on, and give up webhooks: they are posted again after a restart."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for runner in self._runners.values():
            runner.poll()
            runner.returncode = runner.returncode or 0  # it is not ours any more: no warning that it runs

    def _path(self, identity: str) -> Path:
        return self._folder / f"{identity}.json"

    def _end(self, identity: str) -> RunEnd | None:
        if identity not in self._ends:
            try:
                content = json.loads(self._path(identity).read_text(encoding="utf-8"))
                self._ends[identity] = RunEnd(bool(content["ok"]), str(content["detail"]))
            except FileNotFoundError:
                return None
            except (OSError, ValueError, KeyError, TypeError) as exc:
                self._ends[identity] = RunEnd(False, f"{self._path(identity)} cannot be read: {exc}")
        runner = self._runners.pop(identity, None)
        if runner is not None:
            runner.wait()  # it has written its last word
        return self._ends[identity]

    def _ensure_command(self, identity: str, words: list[str], timeout: float) -> None:
        path = self._path(identity)
        held = os.open(f"{path}.running", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                pass
            elif os.fstat(held).st_size or self._could_not_run(identity):
                write_result(path, ok=False, detail=_CUT_OFF)
            else:
                self._runners[identity] = _start(path, held, words, timeout)
        except BlockingIOError:
            pass  # it runs
        finally:
            os.close(held)

    def _could_not_run(self, identity: str) -> bool:
        """Whether a runner of ours has ended without a word."""
        runner = self._runners.pop(identity, None)
        return runner is not None and runner.wait() != 0

    async def _post(self, identity: str, deploy: Deploy, values: dict[str, str]) -> None:
        try:
            async with asyncio.timeout(deploy.timeout):
                end = await self._post_until_answered(identity, str(deploy.webhook), values)
        except TimeoutError:
            end = RunEnd(False, f"no good answer within {deploy.timeout:g} s")
        with suppress(OSError):
            write_result(self._path(identity), ok=end.ok, detail=end.detail)
        self._ends[identity] = end

    async def _post_until_answered(self, identity: str, url: str, values: dict[str, str]) -> RunEnd:
        headers = {"Idempotency-Key": identity}
        no_limit = aiohttp.ClientTimeout(total=None)
        while True:
            try:
                async with self._session.post(url, json=values, headers=headers, timeout=no_limit) as response:
                    text = (await response.content.read(4096)).decode("utf-8", "replace")
                    if response.status < 500:
                        ok = 200 <= response.status < 300
                        return RunEnd(ok, f"status {response.status}: {text.strip()[:200]}".rstrip(": "))
                    trouble: Any = f"status {response.status}"
            except (aiohttp.ClientError, OSError) as exc:
                trouble = exc
            _log.warning("the deploy webhook %s failed (%s); it is posted again", url, trouble)
            await asyncio.sleep(_PAUSE_SECONDS)


def _start(result: Path, held: int, words: list[str], timeout: float) -> subprocess.Popen[bytes]:
    """Start a runner in a session of its own, so that nothing that ends us ends it."""
    return subprocess.Popen(
        [*_RUNNER, str(result), str(timeout), str(held), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[held],
        start_new_session=True,
    )


def _identity(rollout: Rollout, run: int) -> str:
    return f"{rollout.id}.{run}"
