"""Endpoints at which real server processes run, one each, that a deploy hook replaces (see `tests.support.deployed`).

Each has a loopback address of its own, so that no client can take its port while it is replaced.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.deployed import MODULE
from tests.support.waiting import has_ended
from tests.support.whole_proxy import ask, wait_until

_DEADLINE = 60.0


class Deployment:
    """Endpoints that run a version each; `command` is a deploy hook for them."""

    def __init__(self, folder: Path, endpoints: int) -> None:
        chance = random.SystemRandom()
        network = f"127.{chance.randint(1, 254)}.{chance.randint(0, 254)}"
        self._folder = folder
        self.addresses = tuple(f"{network}.{n}:8000" for n in range(1, endpoints + 1))
        self.command = " ".join([*MODULE, "deploy", str(folder), "{endpoint}", "{version}"])

    @contextmanager
    def note(self, name: str) -> Iterator[None]:
        """Have a note that servers and hooks look for, for the length of the block (see `tests.support.deployed`)."""
        note = self._folder / name
        note.touch()
        try:
            yield
        finally:
            note.unlink(missing_ok=True)

    def take_away(self, name: str) -> None:
        """Take a note away before its block has ended."""
        (self._folder / name).unlink()

    def deploys(self) -> list[tuple[str, str]]:
        """Address and version of every call of the hook so far, those of `deploy` included."""
        lines = (self._folder / "deploys").read_text().splitlines()
        return [(address, version) for address, version in map(str.split, lines)]

    def deploy(self, address: str, version: str) -> None:
        """Do what the hook does."""
        subprocess.run(
            [*MODULE, "deploy", str(self._folder), address, version],
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=_DEADLINE,
        )

    def stop(self, address: str) -> None:
        """End the server at an endpoint."""
        pid = self._pid(address)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: has_ended(pid))

    def running(self) -> list[str]:
        """The version that answers at each endpoint; empty where none does."""
        return [self._answer(address) for address in self.addresses]

    @property
    def hanging(self) -> int:
        """The process that a hanging hook has started."""
        return int((self._folder / "hanging").read_text())

    def _answer(self, address: str) -> str:
        host, _, port = address.rpartition(":")
        with suppress(OSError):
            return ask((host, int(port)))[1]
        return ""

    def _pid(self, address: str) -> int:
        return int((self._folder / address).read_text())


@contextmanager
def deployment(folder: Path, version: str, endpoints: int) -> Iterator[Deployment]:
    """Run a version at so many endpoints for the length of the block."""
    folder.mkdir()
    found = Deployment(folder, endpoints)
    try:
        for address in found.addresses:
            found.deploy(address, version)
        wait_until(lambda: found.running() == [version] * endpoints, "for every endpoint to answer")
        yield found
    finally:
        for address in found.addresses:
            found.stop(address)
