"""The fast client that checks every byte (tests/chaos/checked_client.c) and the backends of the benchmark behind it.

Owns their compilation, their start, and the board on which the client says what it has seen. Counts only; what they
should be is for tests to say.
"""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from loadtests.bench.builds import Compiled, Surroundings

#: What the client's `struct board` holds, in its order.
FIELDS: Final = (
    *("hold", "is_idle", "first", "second"),
    *("refused", "closed", "lost", "truncated", "failed", "wrong", "connections"),
)
TROUBLE: Final = FIELDS[4:10]
_SOURCE: Final = Path(__file__).parents[1] / "chaos" / "checked_client.c"
_PAUSE: Final = 0.0005
_DEADLINE: Final = 120.0


def body(name: str) -> bytes:
    """What the backend of this name answers: a kilobyte that no other has."""
    return f"{name} {name * 1024}"[:1024].encode()


@contextmanager
def backends(folder: Path, *names: str) -> Iterator[dict[str, str]]:
    """Run a backend for each name; where they are."""
    program = _compiled("backend.c", folder)
    with ExitStack() as stack:
        places = {}
        for name in names:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
            answer, counters = folder / f"answer-{name}", stack.enter_context(_shared(8))
            answer.write_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + body(name))
            fds = (counters.fd, server.fileno())
            stack.enter_context(_running([program, str(fds[0]), str(answer), str(fds[1])], *fds))
            places[name] = "127.0.0.1:{}".format(*server.getsockname()[1:])
        yield places


class _Shared:
    def __init__(self, length: int) -> None:
        self.fd = os.memfd_create("board")
        os.ftruncate(self.fd, length)
        self.memory = mmap.mmap(self.fd, length)


@contextmanager
def _shared(length: int) -> Iterator[_Shared]:
    shared = _Shared(length)
    try:
        yield shared
    finally:
        os.close(shared.fd)


class CheckedClient:
    """A running client, and what it has seen."""

    def __init__(self, program: subprocess.Popen[bytes], board: memoryview) -> None:
        self._program = program
        self._board = board

    def seen(self, name: str) -> int:
        """One of `FIELDS`."""
        return int(self._board[FIELDS.index(name)])

    def trouble(self) -> dict[str, int]:
        """All that went wrong, by its name."""
        return {name: count for name in TROUBLE if (count := self.seen(name))}

    def answers(self) -> int:
        """How many good answers there were."""
        return self.seen("first") + self.seen("second")

    def wait_for(self, answers: int) -> None:
        """Return when there have been so many."""
        self._wait(lambda: self.answers() >= answers)

    def hold(self) -> tuple[int, int]:
        """Ask nothing more, and wait for all answers; how many there were of each version."""
        self._board[FIELDS.index("hold")] = 1
        self._wait(lambda: self.seen("is_idle"))
        return self.seen("first"), self.seen("second")

    def go_on(self) -> None:
        """Ask again. Returns once it does."""
        self._board[FIELDS.index("hold")] = 0
        self._wait(lambda: not self.seen("is_idle"))

    def _wait(self, condition: Callable[[], object]) -> None:
        deadline, before = time.monotonic() + _DEADLINE, self.answers()
        while not condition():
            time.sleep(_PAUSE)
            if self.answers() != before:
                deadline, before = time.monotonic() + _DEADLINE, self.answers()
            assert self._program.poll() is None, "the client has ended"
            assert time.monotonic() < deadline, f"no answer for {_DEADLINE:g} s; {self.trouble()}"


@contextmanager
def checked_client(folder: Path, port: int, names: tuple[str, str], kept: int, fresh: int) -> Iterator[CheckedClient]:
    """Ask for the length of the block, on this many connections that are kept and that are made anew each time."""
    program = _compiled(str(_SOURCE), folder)
    paths = [folder / f"body-{name}" for name in names]
    for name, path in zip(names, paths, strict=True):
        path.write_bytes(body(name))
    with _shared(8 * len(FIELDS)) as board:
        command = [program, str(board.fd), str(port), str(kept), str(fresh), *map(str, paths)]
        with _running(command, board.fd) as running, memoryview(board.memory) as whole, whole.cast("Q") as words:
            yield CheckedClient(running, words)


def _compiled(source: str, folder: Path) -> str:
    build = Compiled(source).find(Surroundings(folder, may_fetch=False, announce=print))
    return str(build.path)


@contextmanager
def _running(command: list[str], *fds: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, pass_fds=fds) as program:
        try:
            yield program
        finally:
            program.kill()
