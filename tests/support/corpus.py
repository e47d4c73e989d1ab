"""The corpus of messages in tests/corpus/http1, as its README describes it, and what becomes of a message on its way.

Owns reading the files, the ways to cut a message, and the plain form of what the proxy wrote. The files are the truth:
nothing here knows a message.
"""

import os
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.peers import Message, Pair, Peer

FOLDER = Path(__file__).parents[1] / "corpus" / "http1"
IS_LONG = os.environ.get("SERINUS_LONG") == "1"
EACH = 16
SMALL = 2000  # bytes of a message that is sent byte by byte; larger ones in pieces
OURS = (b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Forwarded", b"X-Serinus-Version")


@dataclass(frozen=True)
class Case:
    """One file. `ends`: the statuses of what the client gets, by its name; `forwarded`: what the other side gets."""

    name: str
    text: bytes
    ends: tuple[int, ...]
    forwarded: bytes

    @property
    def is_cut(self) -> bool:
        """Does it end without an answer, or in the middle of one?"""
        return "cut-" in self.name

    @property
    def subject(self) -> str:
        """Its name without what it ends in."""
        return re.sub(r"^(?:(?:\d{3}|cut)-)*", "", self.name)


def read_case(path: Path) -> Case:
    """The case of a `.http` file."""
    ends = re.match(r"(?:(?:\d{3}|cut)-)*", path.name)[0] if path.parts[-3] == "invalid" else ""  # type: ignore[index]
    sidecar = path.with_name(f"{path.stem}.forwarded")
    forwarded = sidecar.read_bytes() if sidecar.exists() else b""
    return Case(path.stem, path.read_bytes(), tuple(map(int, re.findall(r"\d{3}", ends))), forwarded)


def read_cases(kind: str, side: str) -> list[Case]:
    """The cases of one folder."""
    return [read_case(path) for path in sorted((FOLDER / kind / side).glob("*.http"))]


def each_case(kind: str, side: str) -> pytest.MarkDecorator:
    """A test for each case of a folder."""
    cases = read_cases(kind, side)
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def ways(text: bytes) -> list[list[bytes]]:
    """The message whole, byte by byte, and cut in two.

    With SERINUS_LONG=1 that is at every position (of large ones at 500). Else it is at every EACH-th one, which begin
    elsewhere in each message.
    """
    size = 1 if len(text) <= SMALL else 64
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    step = 1 if len(text) <= SMALL else len(text) // 500
    step, first = (step, 1) if IS_LONG else (EACH * step, 1 + zlib.crc32(text) % EACH)
    return [[text], pieces, *([text[:i], text[i:]] for i in range(first, len(text), step))]


class Recorded(Peer):
    """What one side received, read once more."""

    def __init__(self, text: bytes) -> None:
        self._read = text

    def unread(self) -> int:
        """How much of it is left."""
        return len(self._read)

    def read_some(self) -> bytes:
        return b""


def whole_message(text: bytes) -> Message | None:
    """The one request that this is; None while it has not ended. Raises AssertionError for what is none."""
    reader = Recorded(text)
    try:
        message = reader.message()
    except ConnectionError:
        return None
    assert reader.rest() == b"", "more than one request"
    return message


def plain(message: Message) -> bytes:
    """The message as it is in the corpus: one space before each value, and its chunks joined to one."""
    body = message.body
    if message.one(b"Transfer-Encoding"):
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n" + _lines(message.trailers) + b"\r\n"
    return message.line + b"\r\n" + _lines(message.fields) + b"\r\n" + body


def _lines(pairs: tuple[Pair, ...]) -> bytes:
    return b"".join(b"%b: %b\r\n" % pair for pair in pairs)


def without_ours(message: Message, version: bytes = b"v1") -> Message:
    """The request without what every forwarded request gets, which must be there, once each.

    It came over a unix socket: there is no address to tell.
    """
    host = message.one(b"Host") or b""
    assert [pair for pair in message.fields if pair[0] in OURS] == [
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", host),
        (b"Forwarded", b'for=unknown;host="%b";proto=http' % host),
        (b"X-Serinus-Version", version),
    ]
    request_id = message.one(b"X-Request-Id") or b""
    is_new = re.fullmatch(rb"[0-9a-f]{32}", request_id)
    assert request_id
    gone = {name.lower() for name in OURS} | ({b"x-request-id"} if is_new else set())
    return replace(message, fields=tuple(pair for pair in message.fields if pair[0].lower() not in gone))
