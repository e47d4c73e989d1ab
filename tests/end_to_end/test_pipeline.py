"""`serinus rollout start --wait` as deploy tools see it: exit codes, lines, a live line on terminals, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.knobbed_upstream import knobbed_upstreams
from tests.support.terminals import on_a_terminal
from tests.support.whole_controller import WholeController, whole_controller
from tests.support.whole_proxy import wait_until, whole_proxy

pytestmark = pytest.mark.timeout(300)

CLEARED = "\r\x1b[K"


@contextmanager
def a_controller(folder: Path, **policy: Any) -> Iterator[WholeController]:
    with knobbed_upstreams("blue", "green") as upstreams:
        versions = {each.name: {"endpoints": [each.address]} for each in upstreams}
        rollout = {"strategy": "blue-green", "from": "blue", "to": "green", "on": {"no_data": "advance"}, **policy}
        tree = {
            "services": {"shop": {"versions": versions, "active": "blue"}},
            "state_dir": str(folder / "state"),
            "rollouts": {"shop": rollout},
        }
        settings = {"controller": {"interval": "100ms"}}
        with whole_proxy(folder, tree) as proxy, whole_controller(proxy, {**tree, **settings}) as controller:
            yield controller


class Terminal:
    """A command on a terminal of its own; `shown` is all that it has written there."""

    def __init__(self, controller: WholeController, *arguments: str) -> None:
        words, environ = controller.command(*arguments)
        ours, its = pty.openpty()
        env = on_a_terminal(environ)
        self.program = subprocess.Popen(words, env=env, stdin=its, stdout=its, stderr=its, start_new_session=True)
        os.close(its)
        self._ours = ours
        self._read = bytearray()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        while True:
            try:
                self._read += os.read(self._ours, 65536)
            except OSError:  # EIO: the last one has closed it
                return

    @property
    def shown(self) -> str:
        return self._read.decode("utf-8", "replace")

    def wait(self) -> int:
        """Wait for its end; the exit code. All that it wrote has been read then."""
        code = self.program.wait(120)
        self._thread.join(60)
        os.close(self._ours)
        return code


def lines(text: str) -> list[str]:
    """Without what changes from run to run."""
    return [re.sub(r" \(.*", "", line) for line in text.splitlines()]


def test_in_a_pipeline_every_change_is_a_line_and_promoted_is_0(tmp_path: Path):
    with a_controller(tmp_path, bake="2s") as controller:
        ended = controller.serinus("start", "shop", "--wait", "--reason", "build 7")
        assert ended.returncode == 0
        said = ended.stderr.splitlines()
        assert "\x1b" not in ended.stderr
        assert "\r" not in ended.stderr
        assert any(line.startswith("shop-1: step 1 of 1: everything is ready") for line in said)
        assert len(said) == len(set(said))
        assert ended.stdout == "shop-1: promoted (blue 0 %, green 100 %): green has everything\n"


def test_rolled_back_is_1_and_the_reason_is_the_last_line(tmp_path: Path):
    before = [{"kind": "exec", "name": "smoke", "command": "false"}]
    with a_controller(tmp_path, before=before) as controller:
        ended = controller.serinus("start", "shop", "--wait")
        assert ended.returncode == 1
        assert lines(ended.stdout) == ["shop-1: rolled back"]
        assert "smoke: exit status 1" in ended.stderr.splitlines()[-1]
        again = controller.serinus("watch", "shop")
        assert (again.returncode, lines(again.stdout)) == (1, ["shop-1: rolled back"])


def test_what_cannot_be_is_2_and_a_controller_that_is_away_3(tmp_path: Path):
    with a_controller(tmp_path) as controller:
        assert controller.serinus("start", "shop", "--to", "purple").returncode == 2
        assert controller.serinus("start", "shop", "--if-running", "perhaps").returncode == 2
        words, environ = controller.command("start", "shop", "--wait")
        away = subprocess.run(
            words, env={**environ, "SERINUS_CONTROLLER": "127.0.0.1:1"}, capture_output=True, check=False, timeout=60
        )
        assert away.returncode == 3


def test_waiting_longer_than_the_timeout_is_1_and_the_rollout_goes_on(tmp_path: Path):
    with a_controller(tmp_path, bake="10m") as controller:
        ended = controller.serinus("start", "shop", "--wait", "--timeout", "1")
        assert ended.returncode == 1
        assert "goes on" in ended.stderr
        assert controller.client.rollout("shop-1")["phase"] in ("pending", "preparing", "step")


def test_on_a_terminal_there_is_one_live_line_that_leaves_nothing_behind(tmp_path: Path):
    with a_controller(tmp_path, bake="3s") as controller:
        terminal = Terminal(controller, "start", "shop", "--wait")
        wait_until(lambda: "bakes: " in terminal.shown, "for the live line", 60)
        assert terminal.wait() == 0
        shown = terminal.shown
        assert f"{CLEARED}shop-1: step 1 of 1 (blue 0 %, green 100 %): bakes: " in shown
        left = [line.rpartition(CLEARED)[2].rstrip("\r") for line in shown.split("\n")]
        assert not any("bakes: " in line for line in left)
        assert [line for line in left if line.startswith("shop-1: promoted")] == [
            "shop-1: promoted (blue 0 %, green 100 %): green has everything"
        ]


def test_ctrl_c_ends_the_waiting_and_not_the_rollout_and_says_how_to_go_on(tmp_path: Path):
    with a_controller(tmp_path, bake="10m") as controller:
        terminal = Terminal(controller, "start", "shop", "--wait")
        wait_until(lambda: "bakes: " in terminal.shown, "for the live line", 60)
        os.killpg(terminal.program.pid, signal.SIGINT)
        assert terminal.wait() == 130
        assert "shop-1 goes on; `serinus rollout watch shop-1` shows it" in terminal.shown
        assert "Traceback" not in terminal.shown
        assert controller.client.rollout("shop-1")["phase"] == "step"
        watching = Terminal(controller, "watch", "shop-1")
        wait_until(lambda: "bakes: " in watching.shown, "for the live line", 60)
        controller.client.order("shop-1", "promote")
        assert watching.wait() == 0
