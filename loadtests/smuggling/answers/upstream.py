"""The raw upstream: answers with the bytes of a technique, or with an ordinary answer.

Owns: its connections, and which request came by which. Must not: judge. A request for `/CODE/NUMBER/ID` gets a
technique, one for `/CODE/up/ID` an ordinary answer.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from loadtests.smuggling.answers.techniques import ID, AnswerTechnique

_PATIENCE: Final = 60.0
#: How long what comes late waits for the answer to be over.
_LATER: Final = 0.05


def ordinary(identity: str) -> bytes:
    """The body of an ordinary answer."""
    return f"{identity} ordinary".encode()


class RawUpstream:
    """A running upstream."""

    def __init__(self, techniques: Sequence[AnswerTechnique], server: socket.socket) -> None:
        self.port = int(server.getsockname()[1])
        self.connection_of: dict[str, int] = {}
        self._techniques = techniques
        self._server = server
        self._numbers = itertools.count(1)
        self._said: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def wait_until_said(self, identity: str) -> None:
        """Return when everything that is to be sent for this request is on its way; False would mean that none came."""
        self._event(identity).wait(_PATIENCE)

    def accept(self) -> None:
        """Serve whoever connects, until the listening socket is closed."""
        with suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _event(self, identity: str) -> threading.Event:
        with self._lock:
            return self._said.setdefault(identity, threading.Event())

    def _serve(self, sock: socket.socket) -> None:
        number, got = next(self._numbers), b""
        with sock, suppress(OSError):
            sock.settimeout(_PATIENCE)
            while True:
                while b"\r\n\r\n" not in got:
                    more = sock.recv(65536)
                    if not more:
                        return
                    got += more
                head, _, got = got.partition(b"\r\n\r\n")
                _, _, which, identity = head.split(b" ")[1].decode().split("/")
                self.connection_of[identity] = number
                if not self._answer(sock, which, identity):
                    return

    def _answer(self, sock: socket.socket, which: str, identity: str) -> bool:
        """Whether the connection goes on."""
        if which == "up":
            body = ordinary(identity)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return True
        technique = self._techniques[int(which)]
        try:
            sock.sendall(technique.text.replace(ID, identity.encode()))
            if technique.late:
                threading.Event().wait(_LATER)
                sock.sendall(technique.late)
        finally:
            self._event(identity).set()
        return not technique.ends


@contextmanager
def raw_upstream(techniques: Sequence[AnswerTechnique]) -> Iterator[RawUpstream]:
    """Run it for the length of the block."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        upstream = RawUpstream(techniques, server)
        accepting = threading.Thread(target=upstream.accept, daemon=True)
        accepting.start()
        try:
            yield upstream
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
