"""Runs one deploy command to its end, whatever becomes of the controller. A program of its own:

    python -m controller.hook_runner RESULT TIMEOUT HELD WORD...

Owns the command and the file RESULT that says how it ended; RESULT.output gets what it prints, RESULT.running says that
it has begun. HELD is the descriptor of the latter, locked by whoever started us: while we live, it stays locked.
Must not know what is deployed. Standard library only, so that it starts at once.

1. RESULT is complete when it is there.
2. Whatever the command has started is killed with it when its time is over.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

KEPT: Final = 4096


def main(arguments: list[str]) -> None:
    """Run it."""
    path, timeout, held, *words = arguments
    result = Path(path)
    os.set_inheritable(int(held), False)
    os.write(int(held), b"begun\n")
    with Path(f"{path}.output").open("wb") as output:
        status, trouble = _run(words, float(timeout), output.fileno())
    text = _tail(Path(f"{path}.output"))
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


def _run(words: list[str], timeout: float, output: int) -> tuple[int | None, str]:
    """Exit status and trouble."""
    try:
        program = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    except (OSError, ValueError) as exc:
        return None, f"could not be started: {getattr(exc, 'strerror', None) or exc}"
    try:
        return program.wait(timeout), ""
    except subprocess.TimeoutExpired:
        return None, f"killed after {timeout:g} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - KEPT))
        return file.read().decode("utf-8", "replace")


if __name__ == "__main__":
    main(sys.argv[1:])
