"""The words between supervisor and worker, over a socket pair (AF_UNIX, stream).

Owns the frame, its limit and the asyncio end of a channel. Must not know what a message is about.

Rules:
1. A frame is 4 bytes of length (big-endian) and that many bytes of a pickled `Message`. Both ends are this program,
   over a socket that nobody else can open: pickle is safe here and nowhere else.
2. Every message of the supervisor has a sequence number that rises; the worker works through them in order and
   answers each with an `ack` of the same number, whose payload is None or a text that says why it could not.
3. A worker says `ready` (number 0) once, when it has a snapshot and accepts connections; and `drained` (number 0) when
   nothing is in flight any more after a `drain`.
4. The end of the stream means that the other side is gone.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

#: `settings` (Settings), `snapshot` (Snapshot), `services` (generation, tuple of Service: replaces just these), `drain`
#: (seconds), `reopen_logs` and `ping` go down; `ready`, `ack` and `drained` come up.
Kind = Literal["settings", "snapshot", "services", "drain", "reopen_logs", "ping", "ready", "ack", "drained"]

_LENGTH_BYTES: Final = 4
#: Far above a snapshot of the most services, versions and endpoints that there are slots for.
MAX_FRAME: Final = 256 * 1024 * 1024


class BrokenFrame(Exception):
    """The other side sent what is not a frame."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; what the payload is depends on the kind."""

    seq: int
    kind: Kind
    payload: Any = None


def encode(message: Message) -> bytes:
    """The frame of one message."""
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return len(content).to_bytes(_LENGTH_BYTES, "big") + content


class Decoder:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, received: bytes) -> Iterator[Message]:
        """The messages that are complete with these bytes. Raises BrokenFrame."""
        self._buffer += received
        while len(self._buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if end > MAX_FRAME:
                raise BrokenFrame(f"a frame of {end} bytes, {MAX_FRAME} at most")
            if len(self._buffer) < end:
                return
            content = bytes(self._buffer[_LENGTH_BYTES:end])
            del self._buffer[:end]
            yield _unpickled(content)


def _unpickled(content: bytes) -> Message:
    try:
        message = pickle.loads(content)
    except Exception as exc:  # unpickling runs code and raises what it likes
        raise BrokenFrame(f"a frame that cannot be read: {exc}") from exc
    if not isinstance(message, Message):
        raise BrokenFrame(f"a frame that holds {type(message).__name__}, not a message")
    return message


class Channel(asyncio.Protocol):
    """One end of the socket pair. `received` gets every message; `lost` is called once, when the other side is gone."""

    def __init__(self, received: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand over the messages that are complete now."""
        try:
            for message in self._decoder.feed(data):
                self._received(message)
        except BrokenFrame:
            # Nothing that follows can be trusted: as if the other side were gone.
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the other side is gone."""
        self._transport = None
        self._lost()

    def send(self, message: Message) -> None:
        """Send one message; nothing happens when the other side is gone."""
        self.send_frame(encode(message))

    def send_frame(self, frame: bytes) -> None:
        """Send what `encode` gave: a message to many workers is encoded once."""
        if self._transport is not None:
            self._transport.write(frame)

    def close(self) -> None:
        """Close this end after what was sent."""
        if self._transport is not None:
            self._transport.close()


async def open_channel(end: socket.socket, received: Callable[[Message], None], lost: Callable[[], None]) -> Channel:
    """Take over one end of a socket pair."""
    end.setblocking(False)
    _, channel = await asyncio.get_running_loop().create_connection(lambda: Channel(received, lost), sock=end)
    return channel
