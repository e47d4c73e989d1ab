"""The clients: one that sends the bytes of a technique, and ordinary ones after it.

Owns: connections and a reading of the answers that is just strict enough. Must not: judge.
"""

import re
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from loadtests.smuggling.techniques.parts import Technique

# How long silence lasts until it is an answer, where the proxy may wait for more; everywhere else it must not happen.
QUIET: Final = 0.25
PATIENCE: Final = 30.0
_FOLLOWING: Final = b"GET /up/follow/000 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH: Final = re.compile(rb"\r\nContent-Length: (\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\nTransfer-Encoding: chunked", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A final answer. `said` is its body: of a server, the identifier that it saw, and its connection."""

    status: int
    said: bytes

    @property
    def id(self) -> str | None:
        """The identifier, when a server answered."""
        words = self.said.split(b" ")
        return words[0].decode("latin-1") if self.status == 200 and len(words) == 2 else None

    @property
    def connection(self) -> int | None:
        """The server's connection, when a server answered."""
        return int(self.said.split(b" ")[1]) if self.id is not None else None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client got: its answers in order, and how the connection ended: closed, reset, or silent till we did."""

    answers: tuple[Answer, ...]
    end: str


def at(text: bytes, code: str, number: int) -> bytes:
    """The bytes for this server and this number, which have the same length."""
    return text.replace(b"/up/", f"/{code}/".encode()).replace(b"/000", f"/{number:03}".encode())


def attack(port: int, technique: Technique, code: str, number: int) -> Heard:
    """Send a technique and an ordinary request behind it, on one connection."""
    *first, last = (at(part, code, number) for part in technique.parts)
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        got = bytearray()
        for part in first:
            _send(sock, part)
            _take(sock, got, QUIET)
        _send(sock, last + at(_FOLLOWING, code, number))
        end = _read_to_the_end(sock, got, QUIET if technique.waits else PATIENCE)
    return Heard(read_answers(bytes(got)), end)


def ask(port: int, code: str, number: int, name: str) -> Answer | None:
    """One ordinary request with this identifier, on a connection of its own; None when no answer comes."""
    text = b"GET /up/next/000 HTTP/1.1\r\nHost: next.example\r\nX-Request-Id: %b\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        got = bytearray()
        _send(sock, at(text % name.encode(), code, number))
        _read_to_the_end(sock, got, PATIENCE)
    answers = read_answers(bytes(got))
    return answers[0] if len(answers) == 1 else None


def _send(sock: socket.socket, text: bytes) -> None:
    with suppress(OSError):  # refused already; the answer is still to be read
        sock.sendall(text)


def _take(sock: socket.socket, got: bytearray, seconds: float) -> str:
    """Read once, or for so long in vain; how it went: more, closed, reset, silent."""
    if not select.select([sock], [], [], seconds)[0]:
        return "silent"
    try:
        more = sock.recv(65536)
    except ConnectionResetError:
        return "reset"
    got += more
    return "more" if more else "closed"


def _read_to_the_end(sock: socket.socket, got: bytearray, seconds: float) -> str:
    """Read until the connection ends. Silence of this length makes us end it; then what is left is read."""
    deadline = time.monotonic() + 3 * PATIENCE
    end = "more"
    while end == "more" and time.monotonic() < deadline:
        end = _take(sock, got, seconds)
    if end == "silent":
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            return end
        while _take(sock, got, PATIENCE) == "more" and time.monotonic() < deadline:
            pass
    return end


def read_answers(text: bytes) -> tuple[Answer, ...]:
    """The final answers in what a client got. One that is cut off, or is none, ends the list with status 0."""
    answers: list[Answer] = []
    while text:
        head, mark, rest = text.partition(b"\r\n\r\n")
        status = _STATUS.match(head)
        if not mark or not status:
            return (*answers, Answer(0, text))
        said, rest = _body(head, rest)
        if int(status[1]) >= 200:
            answers.append(Answer(int(status[1]), said))
        text = rest
    return tuple(answers)


def _body(head: bytes, rest: bytes) -> tuple[bytes, bytes]:
    """The body and what follows. An answer to HEAD has a length but no body: there the next answer begins at once."""
    if rest.startswith(b"HTTP/1."):
        return b"", rest
    if length := _LENGTH.search(head):
        return rest[: int(length[1])], rest[int(length[1]) :]
    if not _CHUNKED.search(head):
        return b"", rest
    said = b""
    while found := re.match(rb"([0-9a-f]+)\r\n", rest):
        size = int(found[1], 16)
        said += rest[found.end() : found.end() + size]
        rest = rest[found.end() + size + 2 :]
        if size == 0:
            break
    return said, rest
