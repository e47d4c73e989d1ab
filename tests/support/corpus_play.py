"""One connection through a proxy whose upstream answers whatever is whole, with both ends in one thread.

Owns the order of events: a part is sent once the one before was read, as long as somebody reads. Waiting has an end.
"""

import select
import time
from contextlib import suppress
from dataclasses import dataclass

from tests.support.corpus import Recorded, whole_message
from tests.support.peers import PATIENCE, Message, Peer, Upstream

ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True)
class Played:
    """All responses that the client got, and what each connection to the upstream brought."""

    answers: list[Message]
    arrived: list[bytes]

    @property
    def statuses(self) -> tuple[int, ...]:
        """Of the responses."""
        return tuple(answer.status for answer in self.answers)


class Play:
    """The client's connection, and those that the proxy makes to the upstream meanwhile."""

    def __init__(self, client: Peer, parts: list[bytes], upstream: Upstream) -> None:
        self._client = client
        self._parts = list(parts)
        self._upstream = upstream
        self._sides: list[Peer] = []
        self._answered: set[Peer] = set()

    def run(self) -> Played:
        """Send the parts and then an end, until all is over."""
        end = time.monotonic() + 3 * PATIENCE
        while self._open() or select.select([self._upstream], [], [], 0)[0]:
            assert time.monotonic() < end, f"no end: {self._parts[:3]} {[bytes(side.record) for side in self._sides]}"
            self._send_next()
            asked: list[Peer | Upstream] = [self._upstream, *self._open()]
            for one in select.select(asked, [], [], 0 if self._parts else 0.1)[0]:
                if isinstance(one, Upstream):
                    self._sides.append(one.accept())
                else:
                    self._read(one)
        return Played(responses(bytes(self._client.record)), [bytes(side.record) for side in self._sides])

    def _open(self) -> list[Peer]:
        return [peer for peer in (self._client, *self._sides) if peer.fileno() >= 0]

    def _send_next(self) -> None:
        if self._client.fileno() < 0 or not self._parts or self._client.has_unread():
            return
        with suppress(OSError):
            self._client.send(self._parts.pop(0))
            if not self._parts:
                self._client.end_sending()

    def _read(self, peer: Peer) -> None:
        try:
            more = peer.read_some()
        except ConnectionResetError:
            more = b""
        if not more:
            peer.close()
            self._parts = [] if peer is self._client else self._parts
        elif peer is not self._client and peer not in self._answered and whole_message(bytes(peer.record)):
            self._answered.add(peer)
            with suppress(OSError):
                peer.send(ANSWER)


def responses(record: bytes) -> list[Message]:
    """All in this; each must be whole."""
    reader = Recorded(record)
    found = []
    while reader.unread():
        found.append(reader.message())
    return found
