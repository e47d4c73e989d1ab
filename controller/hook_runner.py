"""Runs one deploy command to its end, whatever becomes of the controller. A program of its own:

    python -m controller.hook_runner RESULT TIMEOUT HELD WORD...

Owns the command and the file RESULT that says how it ended; RESULT.output gets what it prints, RESULT.running says that
it has begun. HELD is the descriptor of the latter, locked by whoever started us: while we live, it stays locked.
Must not know what is deployed. Standard library only, so that it starts at once.

1. RESULT is complete when it is there.
2. Whatever the command has started is killed with it when its time is over. What it leaves behind when it ends by
   itself goes on: that may be what it has deployed.
3. The output is a file and no pipe, so that what goes on can still write to it. It is cut while the command runs:
   whenever it is found longer than `LIMIT` bytes, it begins anew, and what is printed in that instant may be lost. The
   last `KEPT` bytes are kept in RESULT.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

KEPT: Final = 4096
LIMIT: Final = 1024 * 1024
_LOOK_SECONDS: Final = 0.05


def main(arguments: list[str]) -> None:
    """Run it."""
    path, timeout, held, *words = arguments
    result = Path(path)
    os.set_inheritable(int(held), False)
    os.write(int(held), b"begun\n")
    output = _Output(f"{path}.output")
    status, trouble = _run(words, float(timeout), output)
    text = output.end()
    last = text.strip().rpartition("\n")[2][:200]
    happened = trouble or f"exit status {status}"
    detail = f"{happened}: {last}" if last else happened
    write_result(result, ok=status == 0, detail=detail, output=text)


def write_result(result: Path, *, ok: bool, detail: str, output: str = "") -> None:
    """Say how it ended. Raises OSError."""
    new = result.with_name(f"{result.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump({"ok": ok, "detail": detail, "output": output}, file)
        file.flush()
        os.fsync(file.fileno())
    new.rename(result)


class _Output:
    """What a command prints. Everybody appends, so that it may be cut at any time."""

    def __init__(self, path: str) -> None:
        self.file: Final = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._before = b""

    def cut(self) -> None:
        """Begin anew when it is too long."""
        if os.fstat(self.file).st_size > LIMIT:
            self._before = self._tail()
            os.ftruncate(self.file, 0)

    def end(self) -> str:
        """The end of the output."""
        tail = self._tail()
        self.cut()
        os.close(self.file)
        return tail.decode("utf-8", "replace")

    def _tail(self) -> bytes:
        size = os.fstat(self.file).st_size
        return (self._before + os.pread(self.file, KEPT, max(0, size - KEPT)))[-KEPT:]


def _run(words: list[str], timeout: float, output: _Output) -> tuple[int | None, str]:
    """Exit status and trouble."""
    try:
        program = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output.file, stderr=subprocess.STDOUT, start_new_session=True
        )
    except (OSError, ValueError) as exc:
        return None, f"could not be started: {getattr(exc, 'strerror', None) or exc}"
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        with suppress(subprocess.TimeoutExpired):
            return program.wait(min(left, _LOOK_SECONDS)), ""
        output.cut()
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    return None, f"killed after {timeout:g} s"


if __name__ == "__main__":
    main(sys.argv[1:])
