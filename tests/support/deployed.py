"""What runs at the endpoints of a rolling rollout: a server program, and the command that replaces one by another.

`python -m tests.support.deployed serve ADDRESS VERSION FOLDER` is the server. It answers every request with its
version; what else it does follows from the name of its version and from notes in FOLDER, see `_Server`.

`python -m tests.support.deployed deploy FOLDER ADDRESS VERSION` ends the server that FOLDER says runs at ADDRESS, and
starts VERSION there; it returns at once, and probes find out when the server is well. What the command itself does
besides follows from the name of the version too: `failing` exits with status 3 before it has touched anything,
`hanging` starts another program and never ends, `talking` prints a great deal. Every call adds a line to the note
`deploys`; while there is a note `wait`, it waits before it does anything.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final, cast

from tests.support.waiting import has_ended

MODULE: Final = (sys.executable, "-m", "tests.support.deployed")
TALK: Final = 32 * 1024 * 1024


#: Every so many requests fails, where some shall.
SOME: Final = 6


class _Server(asyncio.Protocol):
    """One connection. `unwell` fails its probes, `broken` all other requests.

    While there are these notes: `unwell-VERSION` lets probes fail, `fails-VERSION` every sixth other request, `closed`
    lets /gate fail, and /hang is not answered before `hangs` has gone.
    """

    requests: ClassVar = itertools.count(1)

    def __init__(self, version: str, folder: Path) -> None:
        self._version = version
        self._folder = folder
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, received: bytes) -> None:
        *heads, self._rest = (self._rest + received).split(b"\r\n\r\n")
        for head in heads:
            self._answer(head.split(b" ", 2)[1])

    def _answer(self, path: bytes) -> None:
        if path == b"/hang" and self._has_note("hangs"):
            asyncio.get_running_loop().call_later(0.02, self._answer, path)
            return
        status = b"500 Internal Server Error" if self._fails(path) else b"200 OK"
        body = self._version.encode()
        self._transport.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))

    def _fails(self, path: bytes) -> bool:
        match path:
            case b"/healthz":
                return self._version == "unwell" or self._has_note(f"unwell-{self._version}")
            case b"/gate":
                return self._has_note("closed")
            case _:
                is_one_of_some = next(self.requests) % SOME == 0
                return self._version == "broken" or (is_one_of_some and self._has_note(f"fails-{self._version}"))

    def _has_note(self, name: str) -> bool:
        return (self._folder / name).exists()


async def _serve(address: str, version: str, folder: str) -> None:
    host, _, port = address.rpartition(":")
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    server = await asyncio.get_running_loop().create_server(lambda: _Server(version, Path(folder)), host, int(port))
    await ending.wait()
    server.close()


def _deploy(folder: Path, address: str, version: str) -> None:
    with (folder / "deploys").open("a") as deploys:
        print(address, version, file=deploys)
    while (folder / "wait").exists():
        time.sleep(0.02)
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
            [*MODULE, "serve", address, version, str(folder)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    note.write_text(str(server.pid))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve(*sys.argv[2:]))
    else:
        _deploy(Path(sys.argv[2]), *sys.argv[3:])
