"""Both ends of the wire: the backend behind the proxies, and the load generator in front of them.

Owns: their command lines, their counters and complaints. Must not: know which proxy is in between.
"""

import mmap
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.builds import Build
from loadtests.bench.children import Cores, running
from loadtests.bench.faults import Invalid, Missing
from loadtests.bench.work import Work

_COMPLAINTS = re.compile(r"^\s*((?:Socket errors|Non-2xx or 3xx responses): .*)$", re.MULTILINE)
_COUNTERS = struct.Struct("=QQ")
_LONGEST_RUN = "600s"  # the generator is told to stop; this only bounds what an abandoned one would do
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests that the two services behind the proxy have seen."""

    stable: int
    canary: int

    @property
    def total(self) -> int:
        """Requests seen by both."""
        return self.stable + self.canary

    @property
    def canary_share(self) -> float:
        """The canary's part of all requests, from 0 to 1."""
        return self.canary / self.total if self.total else 0.0

    def __sub__(self, earlier: "Counts") -> "Counts":
        return Counts(self.stable - earlier.stable, self.canary - earlier.canary)


@dataclass(frozen=True, slots=True)
class Backend:
    """The running backend: its two ports, and the counters it shares with us."""

    stable: int
    canary: int
    counters: mmap.mmap

    def counts(self) -> Counts:
        """What it has counted until now."""
        return Counts(*_COUNTERS.unpack(self.counters[:]))


@contextmanager
def backend_running(build: Build, work: Work, cores: Cores, folder: Path) -> Iterator[Backend]:
    """The backend, answering on two ports with the response of the work."""
    response, counters = folder / "response", folder / "counters"
    response.write_bytes(work.response())
    counters.write_bytes(bytes(_COUNTERS.size))
    with ExitStack() as stack:
        # We listen and hand the sockets over: no port can be taken between choosing and listening.
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024)) for _ in range(2)]
        file = stack.enter_context(counters.open("r+b"))
        shared = stack.enter_context(mmap.mmap(file.fileno(), _COUNTERS.size))
        fds = [server.fileno() for server in servers]
        command = [str(build.path), str(file.fileno()), str(response), *map(str, fds)]
        log = folder / "backend.log"
        stack.enter_context(running(command, cores={cores.load}, log=log, inherit=[file.fileno(), *fds]))
        stable, canary = (server.getsockname()[1] for server in servers)
        yield Backend(stable, canary, shared)


def find_generator() -> str:
    """The path of wrk.

    Raises:
        Missing: it is not installed.
    """
    path = shutil.which("wrk")
    if path is None:
        raise Missing("wrk, the load generator, is not installed: apt-get install wrk")
    return path


def generator_command(generator: str, work: Work, url: str, folder: Path) -> list[str]:
    """The command line that loads the address with the work's requests; what it cannot say is in a file."""
    words = [word for name, value in work.headers.items() for word in ("-H", f"{name}: {value}")]
    if script := work.script():
        file = folder / "wrk.lua"
        file.write_text(script)
        words += ["-s", str(file)]
    return [generator, "-t", "1", "-c", str(work.connections), "-d", _LONGEST_RUN, *words, url]


@contextmanager
def load_running(generator: str, work: Work, url: str, cores: Cores, folder: Path) -> Iterator[None]:
    """Load on the address while the block lasts.

    Raises:
        Invalid: at the end of the block, when the generator saw an error or ended too early.
    """
    log = folder / "wrk.log"
    with running(generator_command(generator, work, url, folder), cores={cores.load}, log=log) as wrk:
        yield
        _stop(wrk, log)
    check_report(log.read_text())


def check_report(report: str) -> None:
    """Refuse a load during which anything failed.

    Raises:
        Invalid: the report of wrk names errors, or is none.
    """
    complaints = _COMPLAINTS.findall(report)
    if complaints:
        raise Invalid(f"the load generator saw errors: {'; '.join(complaints)}")
    if "Requests/sec" not in report:
        raise Invalid(f"the load generator gave no report but said: {report.strip() or 'nothing'}")


def _stop(wrk: "subprocess.Popen[bytes]", log: Path) -> None:
    if wrk.poll() is not None:
        raise Invalid(f"the load generator ended too early and said: {log.read_text().strip()}")
    os.kill(wrk.pid, signal.SIGINT)  # it then prints its report
    try:
        wrk.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired as exc:
        raise Invalid(f"the load generator did not stop within {_STOP_SECONDS:.0f} s") from exc
