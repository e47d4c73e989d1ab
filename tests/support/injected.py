"""Faults that other programs inject: strace, faketime, cgroups, namespaces, small disks.

Owns starting and ending them. Where a program or a permission is missing, the test is skipped, or fails where every
test must run (tests/support/tools.py).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec

from tests.support.tools import do_without, require_tool
from tests.support.whole_proxy import wait_until

P = ParamSpec("P")
_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET of unshare(2)


@contextmanager
def failing_calls(pid: int, log: Path, *faults: str) -> Iterator[None]:
    """Let system calls of a process fail, as `inject=` of strace(1) says: "accept4:error=EMFILE:when=1+2"."""
    strace = require_tool("strace", "strace")
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    injections = [word for fault in faults for word in ("-e", f"inject={fault}")]
    with subprocess.Popen(
        [strace, "-f", "-o", str(log), "-p", str(pid), "-e", f"trace={calls}", *injections],
        stderr=subprocess.PIPE,
        text=True,
    ) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            tracer.kill()
            do_without(f"strace may not attach here: {said.strip()}")
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(30)


def traced(log: Path) -> list[str]:
    """The calls that failed because they were made to."""
    return [line for line in log.read_text().splitlines() if line.endswith("(INJECTED)")]


@contextmanager
def small_disk(folder: Path, size: str = "64k") -> Iterator[Path]:
    """A file system of its own; the test is skipped, or fails, where we may not mount one."""
    place = folder / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        do_without("mounting a tmpfs needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; gives the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def in_own_network(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test in a network of its own, loopback only.

    A namespace belongs to a thread, and to all threads and programs that it starts: the test runs in a new one.
    """

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        def inside() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(_NEW_NETWORK) != 0:
                do_without(f"no network of our own here: {os.strerror(ctypes.get_errno())}")
            subprocess.run([require_tool("ip", "iproute2"), "link", "set", "lo", "up"], check=True)
            test(*args, **kwargs)

        with ThreadPoolExecutor(1) as alone:
            alone.submit(inside).result()

    return run


@contextmanager
def limited_memory(name: str, limit: int) -> Iterator[Path]:
    """A cgroup with so many bytes of memory; a process that is written into its `cgroup.procs` has no more."""
    old, new = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    group = (old if old.is_dir() else new) / f"serinus-{name}-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if old.is_dir() else "memory.max")).write_text(str(limit))
    except OSError as exc:
        with suppress(OSError):
            group.rmdir()
        do_without(f"no cgroup with a memory limit here: {exc}")
    try:
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text().split(), "for the cgroup to be empty")
        group.rmdir()
