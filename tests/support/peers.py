"""Both neighbours of the proxy, played by hand: a client and an upstream that send exactly the bytes that a test says.

Owns sockets and a strict reading of what the proxy writes. Everything happens in the order in which the test says it:
there is no thread, the kernel keeps what nobody reads yet. Waiting ends after PATIENCE seconds with an error.
"""

import fcntl
import re
import select
import socket
import struct
import termios
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from proxy.core.snapshot import SocketAddress

PATIENCE = 10
Pair = tuple[bytes, bytes]


@dataclass(frozen=True)
class Message:
    """One message, read strictly. `body` is without its framing."""

    line: bytes
    fields: tuple[Pair, ...]
    body: bytes = b""
    trailers: tuple[Pair, ...] = ()

    @property
    def status(self) -> int:
        return int(self.line.split(b" ")[1])

    def all(self, name: bytes) -> list[bytes]:
        """The values of the fields with this name."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def one(self, name: bytes) -> bytes | None:
        """The value of the only field with this name."""
        values = self.all(name)
        assert len(values) < 2, f"several {name!r}: {values}"
        return values[0] if values else None


class Peer:
    """One connection, seen from its other end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.record = bytearray()  # all that came
        self._read = b""

    @classmethod
    def connect(cls, address: tuple[str, int], source: str = "127.0.0.1") -> "Peer":
        """A new connection to this address from that one."""
        return cls(socket.create_connection(address, PATIENCE, (source, 0)))

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, *parts: bytes) -> "Peer":
        for part in parts:
            self.sock.sendall(part)
        return self

    def send_apart(self, *parts: bytes) -> "Peer":
        """Send each part once the one before was read by the proxy, as long as it reads. Only unix sockets tell."""
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                self.sock.sendall(part)
                while self.has_unread():
                    time.sleep(0)
        return self

    def send_until_full(self, text: bytes) -> int:
        """Send this again and again until nobody takes any more; the number of bytes."""
        sent = 0
        while select.select([], [self.sock], [], 0.2)[1]:
            sent += self.sock.send(text)
        return sent

    def end_sending(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # Reading

    def head(self) -> Message:
        """The next head; what follows it is left."""
        head = self.until(b"\r\n\r\n")
        line, *fields = head[:-4].split(b"\r\n")
        return Message(line, tuple(map(_pair, fields)))

    def message(self, to: bytes = b"GET") -> Message:
        """The next message, whole. For a response to HEAD say so. Raises ConnectionError when it does not end well."""
        head = self.head()
        is_response = head.line.startswith(b"HTTP/")
        if is_response and (to == b"HEAD" or head.status < 200 or head.status in (204, 304)):
            return head
        if head.one(b"Transfer-Encoding"):
            assert head.all(b"Transfer-Encoding") == [b"chunked"]
            assert not head.all(b"Content-Length")
            body, trailers = self._chunks()
            return Message(head.line, head.fields, body, trailers)
        length = head.one(b"Content-Length")
        if length is not None:
            return Message(head.line, head.fields, self.exactly(int(length)))
        return Message(head.line, head.fields, self.rest() if is_response else b"")

    def _chunks(self) -> tuple[bytes, tuple[Pair, ...]]:
        body = b""
        while size := self.chunk():
            body += size
        trailers: list[Pair] = []
        while (line := self.until(b"\r\n")) != b"\r\n":
            trailers.append(_pair(line[:-2]))
        return body, tuple(trailers)

    def chunk(self) -> bytes:
        """The next chunk's bytes; empty for the last one, behind which the trailers follow."""
        line = self.until(b"\r\n")
        assert re.fullmatch(rb"[0-9a-f]{1,15}\r\n", line), line
        if size := int(line, 16):
            chunk = self.exactly(size)
            assert self.exactly(2) == b"\r\n"
            return chunk
        return b""

    def until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._more()
        at = self._read.index(mark) + len(mark)
        taken, self._read = self._read[:at], self._read[at:]
        return taken

    def exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def rest(self) -> bytes:
        """Everything to the end. Raises ConnectionResetError when the connection is aborted."""
        while self.read_some():
            pass
        taken, self._read = self._read, b""
        return taken

    def end(self) -> Literal["closed", "reset"]:
        """How the connection ends. What still comes is left out."""
        try:
            self.rest()
        except ConnectionResetError:
            return "reset"
        return "closed"

    def has_unread(self) -> bool:
        """Has the other side bytes to read still? Of TCP: to acknowledge."""
        return struct.unpack("i", fcntl.ioctl(self.sock, termios.TIOCOUTQ, b"\0" * 4)) != (0,)

    def has_more(self) -> bool:
        """Is there anything to read, or an end, now?"""
        return bool(self._read) or bool(select.select([self.sock], [], [], 0)[0])

    def _more(self) -> None:
        if not self.read_some():
            raise ConnectionError(f"the connection ended behind {self._read[-200:]!r}")

    def read_some(self) -> bytes:
        """What has come, or nothing at the end. Raises ConnectionResetError when the connection is aborted."""
        more = self.sock.recv(262144)
        self.record += more
        self._read += more
        return more


def listen_at(path: Path) -> socket.socket:
    """A listening unix socket."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(256)
    return listening


class Upstream:
    """Where the proxy's upstream connections arrive: at a free port of the loopback interface, or at a path."""

    def __init__(self, path: Path | None = None, backlog: int = 256) -> None:
        self.port = 0
        self.sockets: tuple[SocketAddress, ...]
        if path is None:
            self._listening = socket.create_server(("127.0.0.1", 0), backlog=backlog)
            self.port = self._listening.getsockname()[1]
            self.sockets = (("inet", "127.0.0.1", self.port),)
            self.address = f"127.0.0.1:{self.port}"
        else:
            self._listening = listen_at(path)
            self.sockets = (("unix", str(path), 0),)
            self.address = f"unix:{path}"
        self._listening.settimeout(PATIENCE)
        self.peers: list[Peer] = []

    def fileno(self) -> int:
        return self._listening.fileno()

    def accept(self) -> Peer:
        """The next new connection."""
        sock, _ = self._listening.accept()
        self.peers.append(Peer(sock))
        return self.peers[-1]

    def asked(self) -> Peer:
        """A connection, new or old, on which there is something to read."""
        while True:
            by_socket = {peer.sock: peer for peer in self.peers if peer.sock.fileno() >= 0}
            ready, _, _ = select.select([self._listening, *by_socket], [], [], PATIENCE)
            assert ready, "nothing came to the upstream"
            for sock in ready:
                if sock is self._listening:
                    self.accept()
                elif sock.recv(1, socket.MSG_PEEK):
                    return by_socket[sock]
                else:
                    by_socket[sock].close()

    def close(self) -> None:
        self._listening.close()
        for peer in self.peers:
            peer.close()


def head(line: bytes, *fields: bytes, host: bytes = b"Host: a.example") -> bytes:
    """The bytes of a head; without a host, if that is empty."""
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""])


def cuts(text: bytes) -> list[list[bytes]]:
    """The text byte by byte, and cut in two at every position."""
    return [[text[i : i + 1] for i in range(len(text))], *([text[:i], text[i:]] for i in range(1, len(text)))]


def _pair(line: bytes) -> Pair:
    match = re.fullmatch(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*", line)
    assert match, f"not a field line: {line!r}"
    return match[1], match[2]
