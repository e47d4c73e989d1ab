"""The proxy as a user runs it: `serinus proxy -c FILE`, a program of its own with two workers, in a folder of the test.

Owns its start on free ports, its end, and looks at its processes from outside. What it printed is printed again when it
has ended, so that a failed test shows it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client.parser import text_string_to_metric_families

from cli.client import AdminClient

_DEADLINE: Final = 30.0
_LISTENING: Final = re.compile(r"listening on (.+)")
_ADMIN: Final = re.compile(r"admin API on (.+)")
_MARK: Final = "SERINUS_TEST_MARK"

Samples = dict[str, float]


def wait_until(condition: Callable[[], object], what: str = "", seconds: float = _DEADLINE) -> None:
    """Return as soon as the condition is true; fail when that does not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain {what}"
        time.sleep(0.02)


class WholeProxy:
    """A running proxy. `folder` holds its file, its log and, unless the file says otherwise, its state."""

    def __init__(
        self,
        folder: Path,
        tree: Mapping[str, Any],
        environ: Mapping[str, str],
        starter: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.folder = folder
        self.path = folder / "serinus.yaml"
        self._mark = uuid.uuid4().hex
        self.write(tree)
        self._log = folder / f"log-{self._mark}"
        with self._log.open("wb") as log:
            self.program = subprocess.Popen(
                [*starter, sys.executable, "-P", "-m", "cli", "proxy", "-c", str(self.path)],
                env={**os.environ, **environ, _MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
            )

    def write(self, tree: Mapping[str, Any]) -> None:
        """Write the configuration; what a test does not care about is filled in."""
        usual = {
            "listen": [{"address": "127.0.0.1:0"}],
            "admin": {"address": "127.0.0.1:0"},
            "workers": 2,
            "access_log": "off",
        }
        self.path.write_text(yaml.safe_dump({**usual, **tree}, sort_keys=False))

    def take(self, tree: Mapping[str, Any]) -> None:
        """Write the configuration, and let it be read; it has to be a good one."""
        self.write(tree)
        self.admin.reload()

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens on TCP."""
        texts = [text for text in _LISTENING.findall(self.log) if "@" not in text and not text.startswith("unix:")]
        return [(host, int(port)) for host, _, port in (text.rpartition(":") for text in texts)]

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens first."""
        return self.addresses[0]

    @property
    def url(self) -> str:
        """The same, for clients."""
        return "http://{}:{}".format(*self.address)

    @property
    def admin_address(self) -> str:
        """Where the admin API is."""
        return str(_ADMIN.findall(self.log)[0])

    @property
    def admin(self) -> AdminClient:
        """Calls the admin API."""
        return AdminClient(self.admin_address)

    def wait_until_ready(self) -> None:
        """Wait until it serves."""
        wait_until(lambda: self._has_ended() or ("workers serve" in self.log and self.admin.is_well("/readyz")))
        assert not self._has_ended(), f"the proxy ended with {self.program.returncode}"

    def _has_ended(self) -> bool:
        return self.program.poll() is not None

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        path = Path(f"/proc/{self.program.pid}/task/{self.program.pid}/children")
        return sorted(int(pid) for pid in path.read_text().split())

    def clients_of(self, worker: int) -> set[int]:
        """The ports of the clients whose connections a worker has accepted."""
        inodes = set()
        for fd in Path(f"/proc/{worker}/fd").iterdir():
            try:
                inodes.add(os.readlink(fd))
            except FileNotFoundError:
                continue  # closed in the meantime
        return {port for port, inode in _connections(self.address[1]) if f"socket:[{inode}]" in inodes}

    def memory(self, worker: int) -> int:
        """The resident memory of a process, bytes."""
        resident = Path(f"/proc/{worker}/statm").read_text().split()[1]
        return int(resident) * os.sysconf("SC_PAGE_SIZE")

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str]:
        """Status and body of one request on a connection of its own."""
        return ask(self.address, path, method, **headers)

    def serinus(self, *arguments: str) -> tuple[int, str]:
        """Call the command line for this proxy; its exit code and all that it printed."""
        called = subprocess.run(
            [sys.executable, "-P", "-m", "cli", *arguments],
            env={**os.environ, "SERINUS_ADMIN": self.admin_address},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_DEADLINE,
        )
        return called.returncode, called.stdout.decode()

    def metrics(self) -> Samples:
        """Every sample of /metrics by its name and labels, as `name{label=value,...}` with sorted labels."""
        text = self.ask_admin("/metrics")
        return {
            f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": (
                float(sample.value)
            )
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def ask_admin(self, path: str) -> str:
        """What a GET of the admin API answers."""
        host, _, port = self.admin_address.rpartition(":")
        status, text = ask((host, int(port)), path)
        assert status == 200, text
        return text

    def answers(self) -> Counter[str]:
        """How many requests were answered with 200, by version."""
        found = re.compile(r"serinus_requests_total\{code=200,service=[^,]+,version=(.+)\}")
        return Counter(
            {match[1]: int(value) for name, value in self.metrics().items() if (match := found.fullmatch(name))}
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; its exit code."""
        self.program.send_signal(number)
        return self.program.wait(_DEADLINE)

    def left(self) -> list[int]:
        """The processes that are left of it, itself included."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_ours(path)]

    def _is_ours(self, path: Path) -> bool:
        try:
            return f"{_MARK}={self._mark}".encode() in (path / "environ").read_bytes()
        except OSError:
            return False  # it has ended, or is not for us to look at


@contextmanager
def whole_proxy(
    folder: Path,
    tree: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    starter: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
) -> Iterator[WholeProxy]:
    """Run a proxy for the length of the block; it is ready then. `starter` is a command that starts it in its place.

    SIGTERM ends it, unless the test has. Whoever ends it, it has to end well, and leave no process behind.
    """
    proxy = WholeProxy(folder, tree, environ or {}, starter, pass_fds)
    try:
        proxy.wait_until_ready()
        yield proxy
        if proxy.program.poll() is None:
            assert proxy.end() == 0
        assert proxy.left() == []
    finally:
        for pid in proxy.left():
            os.kill(pid, signal.SIGKILL)
        proxy.program.wait(_DEADLINE)
        print(proxy.log)


def failed_start(folder: Path, tree: Mapping[str, Any], **environ: str) -> tuple[int, str]:
    """Exit code and words of a proxy that cannot start."""
    proxy = WholeProxy(folder, tree, environ)
    try:
        code = proxy.program.wait(_DEADLINE)
        assert proxy.left() == []
        return code, proxy.log
    finally:
        proxy.program.kill()
        proxy.program.wait(_DEADLINE)


def ask(address: tuple[str, int], path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body of one request on a connection of its own."""
    connection = HTTPConnection(*address, timeout=_DEADLINE)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Connection": "close", **sent})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def a_service(versions: Mapping[str, str | list[str]], weights: Mapping[str, float], **parts: Any) -> dict[str, Any]:
    """A file with the service `shop`: its versions' endpoints, its weights, and more of the service."""
    endpoints = {
        version: {"endpoints": [places] if isinstance(places, str) else places} for version, places in versions.items()
    }
    return {"services": {"shop": {"versions": endpoints, "split": dict(weights), **parts}}}


def _connections(port: int) -> Iterator[tuple[int, str]]:
    """Peer's port and inode of each connection to a local port, from /proc/net/tcp."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) == port:
            yield int(fields[2].partition(":")[2], 16), fields[9]
