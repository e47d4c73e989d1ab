"""Starting programs on chosen cores and ending them for certain.

Owns: every process the benchmark starts; each has its own process group, which is gone when its `with` block ends,
however it ends. Must not: know what the programs are.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.faults import Missing

_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Where things run: the proxy on one core, load generator, backend and this program on another."""

    proxy: int
    load: int

    @classmethod
    def available(cls) -> "Cores":
        """The first two cores this program may use; twice the same when there is only one.

        Raises:
            Missing: this system cannot pin programs to cores (only Linux can).
        """
        if not hasattr(os, "sched_getaffinity"):
            raise Missing("the benchmark needs Linux: it pins programs to cores and reads /proc/PID/task/*/schedstat")
        cores = sorted(os.sched_getaffinity(0))
        return cls(proxy=cores[0], load=cores[min(1, len(cores) - 1)])

    @property
    def are_shared(self) -> bool:
        """Whether the proxy has to share its core with the load."""
        return self.proxy == self.load


@contextmanager
def pinned(*cores: int) -> Iterator[None]:
    """Within the block this thread, and whatever it starts, runs on the given cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    command: Sequence[str],
    *,
    cores: Collection[int] = (),
    log: Path,
    environment: Mapping[str, str] | None = None,
    inherit: Collection[int] = (),
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program running on some cores (none: ours), its output in `log`; ended with its children after the block."""
    with log.open("wb") as output:
        with pinned(*cores) if cores else nullcontext():
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                pass_fds=tuple(inherit),
                start_new_session=True,  # Ctrl-C in the terminal reaches us only, and we end the child
            )
        try:
            yield child
        finally:
            _end(child)


def free_ports(count: int) -> list[int]:
    """Different ports on 127.0.0.1 that nobody listens on now."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Ask the program to stop, then make sure of its whole group."""
    child.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_SECONDS)
    finally:
        with suppress(ProcessLookupError):  # the usual case: nobody of the group is left
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
