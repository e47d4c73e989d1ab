"""What runs at the endpoints of a rolling rollout: a server program, and the command that replaces one by another.

`python -m tests.support.deployed serve ADDRESS VERSION` is the server. It answers every request with its version; what
else it does follows from the name of its version, see `_Server`.

`python -m tests.support.deployed deploy FOLDER ADDRESS VERSION` ends the server that FOLDER says runs at ADDRESS, and
starts VERSION there; it returns at once, and probes find out when the server is well. What the command itself does
besides follows from the name of the version too: `failing` exits with status 3 before it has touched anything,
`hanging` starts another program and never ends, `talking` prints a great deal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from tests.support.waiting import has_ended

MODULE: Final = (sys.executable, "-m", "tests.support.deployed")
TALK: Final = 32 * 1024 * 1024


class _Server(asyncio.Protocol):
    """One connection. `unwell` fails its probes, `broken` all other requests."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, received: bytes) -> None:
        *heads, self._rest = (self._rest + received).split(b"\r\n\r\n")
        for head in heads:
            fails = self._version == ("unwell" if head.startswith(b"GET /healthz") else "broken")
            status = b"500 Internal Server Error" if fails else b"200 OK"
            body = self._version.encode()
            self._transport.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


async def _serve(address: str, version: str) -> None:
    host, _, port = address.rpartition(":")
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    server = await asyncio.get_running_loop().create_server(lambda: _Server(version), host, int(port))
    await ending.wait()
    server.close()


def _deploy(folder: Path, address: str, version: str) -> None:
    if version == "failing":
        _fail()
    if version == "hanging":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "hanging").write_text(str(child.pid))
        child.wait()
    if version == "talking":
        sys.stdout.write("x" * TALK + "\n")
    _replace(folder, address, version)
    print(f"{version} runs at {address}")


def _fail() -> None:
    print("no space left on the machine", file=sys.stderr)
    sys.exit(3)


def _replace(folder: Path, address: str, version: str) -> None:
    """End the old server, start the new one; what it prints goes to a file of its own."""
    note = folder / address
    if note.exists():
        old = int(note.read_text())
        with suppress(ProcessLookupError):
            os.kill(old, signal.SIGTERM)
        while not has_ended(old):
            time.sleep(0.005)
    with (folder / f"{address}.log").open("ab") as log:
        server = subprocess.Popen(
            [*MODULE, "serve", address, version], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    note.write_text(str(server.pid))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve(*sys.argv[2:]))
    else:
        _deploy(Path(sys.argv[2]), *sys.argv[3:])
