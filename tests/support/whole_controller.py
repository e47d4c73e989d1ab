"""The controller as a user runs it: `serinus controller -c FILE`, a program of its own beside a running proxy.

Owns its start on a free port, its end, and `serinus rollout` as a pipeline calls it. What it printed is printed again
when it has ended, so that a failed test shows it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import yaml

from cli.controller import ControllerClient, RolloutStatus
from tests.support.whole_proxy import WholeProxy, wait_until

_DEADLINE: Final = 120.0


class WholeController:
    """A running controller. Its file and its log are in the folder of the proxy."""

    def __init__(self, proxy: WholeProxy, tree: Mapping[str, Any]) -> None:
        self.path = proxy.folder / "controller.yaml"
        self._usual = {"address": "127.0.0.1:0", "interval": "200ms", "proxies": [{"address": proxy.admin_address}]}
        self.write(tree)
        self._log = proxy.folder / "controller.log"
        self.start()

    def write(self, tree: Mapping[str, Any]) -> None:
        """Write its file; what a test does not care about is filled in."""
        controller = {**self._usual, **tree.get("controller", {})}
        whole = {**tree, "listen": [{"address": "127.0.0.1:0"}], "controller": controller}
        self.path.write_text(yaml.safe_dump(whole, sort_keys=False))

    def start(self) -> None:
        """Start it, also again after its end; within the call it begins to answer."""
        with self._log.open("wb") as log:
            self.program = subprocess.Popen(
                [sys.executable, "-P", "-m", "cli", "controller", "-c", str(self.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: "controller API on" in self.log or self.program.poll() is not None)
        assert self.program.poll() is None, self.log

    @property
    def log(self) -> str:
        """What it has printed since its last start."""
        return self._log.read_text()

    @property
    def address(self) -> str:
        """Where its API is."""
        return self.log.split("controller API on ")[1].split()[0]

    @property
    def client(self) -> ControllerClient:
        """Calls the API."""
        return ControllerClient(self.address, actor="test")

    def until(self, identity: str, *phases: str) -> RolloutStatus:
        """Wait until a rollout is in one of these phases; the rollout then."""
        return self.until_it(identity, lambda found: found["phase"] in phases, f"to be {phases}")

    def until_it(self, identity: str, fits: Callable[[RolloutStatus], object], what: str) -> RolloutStatus:
        """Wait until a rollout is as the test wants it; the rollout then."""
        found: list[RolloutStatus] = []

        def look() -> object:
            found[:] = [self.client.rollout(identity)]
            return fits(found[0])

        wait_until(look, f"for {identity} {what}", _DEADLINE)
        return found[0]

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """Words and environment of `serinus rollout ...`."""
        words = [sys.executable, "-P", "-m", "cli", "rollout", *arguments]
        return words, {**os.environ, "SERINUS_CONTROLLER": self.address}

    def serinus(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`serinus rollout ...` as a pipeline calls it."""
        words, environ = self.command(*arguments)
        return subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=_DEADLINE)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.program.kill()
        self.program.wait()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        self.program.send_signal(number)
        return self.program.wait(30)


@contextmanager
def whole_controller(proxy: WholeProxy, tree: Mapping[str, Any]) -> Iterator[WholeController]:
    """Run a controller for the length of the block. SIGTERM ends it, unless the test has; it has to end well."""
    controller = WholeController(proxy, tree)
    try:
        yield controller
        if controller.program.poll() is None:
            assert controller.end() == 0
    finally:
        if controller.program.poll() is None:
            controller.kill()
        print(controller.log)
