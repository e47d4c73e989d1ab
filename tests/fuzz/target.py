"""One run of libFuzzer through atheris: `python -m tests.fuzz.target SIDE FINDINGS ARGUMENTS-OF-LIBFUZZER`.

SIDE is one of CHECKS. An input for which something does not hold is written into the folder FINDINGS, with
what was the matter beside it, and the run goes on; what AddressSanitizer finds ends it.

Owns that run. Works only in the folder that build.py made, and in the environment that it says.
"""

import ctypes
import gc
import hashlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

from tests.fuzz.pieces import Chunks, Heads
from tests.fuzz.requests import SETTINGS, Requests
from tests.fuzz.responses import Responses

CHECKS: dict[str, Callable[[], Callable[[bytes], object]]] = {
    "requests": lambda: Requests().check,
    "responses": lambda: Responses().check,
    "heads": lambda: Heads(SETTINGS.request_line, SETTINGS.head, SETTINGS.headers).check,
    "chunks": lambda: Chunks().check,
}
FINDINGS_MOST = 100


def noting(check: Callable[[bytes], object], folder: Path) -> Callable[[bytes], None]:
    """`check`, which writes down what does not hold. Raises what it raises when that happens too often."""

    def noted(text: bytes) -> None:
        try:
            check(text)
        except Exception:
            name = hashlib.sha1(text).hexdigest()[:16]
            (folder / name).write_bytes(text)
            (folder / f"{name}.txt").write_text(f"{text!r}\n{traceback.format_exc()}")
            if len(list(folder.glob("*.txt"))) > FINDINGS_MOST:
                raise

    return noted


def main(arguments: list[str]) -> None:
    """Fuzz until libFuzzer's own limits; it ends the program."""
    side, findings, *rest = arguments
    check = noting(CHECKS[side](), Path(findings))
    ctypes.CDLL(None).serinus_register_edges()
    gc.set_threshold(50_000)
    atheris.Setup([sys.argv[0], *rest], check, enable_python_coverage=False)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
