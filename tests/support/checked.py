"""One request by hand to a toxic upstream, and a strict look at what came of it.

Owns the rule of the chaos tests: every request ends in exactly one answer or in one broken connection, and an answer
that looks whole is whole and its own.
"""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from tests.support.peers import Message, Peer
from tests.support.toxics import Asked, answer_body, digest

_numbers = itertools.count()


@dataclass(frozen=True)
class Ended:
    """What came of a request: the status of a whole answer, or how its connection broke."""

    identity: str
    status: int = 0
    broke: Literal["", "closed", "reset"] = ""
    reason: str = ""  # what Serinus says in Proxy-Status

    @property
    def what(self) -> int | str:
        """The status, or how it broke."""
        return self.status or self.broke


def request(identity: str, toxic: str = "", *, body: bytes | None = None, size: int = 0, fields: str = "") -> bytes:
    """The bytes of a GET, or with a body of a POST."""
    line = "GET / HTTP/1.1" if body is None else f"POST / HTTP/1.1\r\nContent-Length: {len(body)}"
    toxics = f"X-Toxic: {toxic}\r\n" if toxic else ""
    return f"{line}\r\nHost: shop\r\nX-Id: {identity}\r\nX-Size: {size}\r\n{toxics}{fields}\r\n".encode() + (
        body or b""
    )


def a_name() -> str:
    """An id that no other request has."""
    return f"{os.getpid()}.{next(_numbers)}"


def checked(
    address: tuple[str, int],
    toxic: str = "",
    *,
    body: bytes | None = None,
    size: int = 1000,
    peer: Peer | None = None,
) -> Ended:
    """Ask once, on a connection of its own unless one is given; what came of it must be whole if it looks so."""
    identity = a_name()
    own = peer or Peer.connect(address)
    try:
        with suppress(ConnectionError):  # what was said before that is read below
            own.send(request(identity, toxic, body=body, size=size))
        message = own.message()
        while message.status < 200:
            message = own.message()
    except ConnectionResetError:
        return Ended(identity, broke="reset")
    except ConnectionError:
        return Ended(identity, broke="closed")
    finally:
        if peer is None:
            own.close()
    return look(identity, message, body or b"", size)


def look(identity: str, message: Message, body: bytes = b"", size: int = 1000) -> Ended:
    """Hold a whole answer against what the upstream must have said to this request."""
    proxy_status = message.one(b"Proxy-Status")
    if proxy_status is not None:
        return Ended(identity, message.status, reason=proxy_status.decode().partition("error=")[2].partition(";")[0])
    if message.status in (200, 500):
        name = message.body.partition(b" ")[0].decode()
        asked = Asked("", identity, size, 0, "")
        assert message.body == answer_body(name, asked, digest(body)), "an answer that looks whole is whole and its own"
    return Ended(identity, message.status)
