"""Reading HTTP/1.1 without any check, and the ways to cut a message: what the two fuzzed sides share.

Owns a reading of input that the proxy accepted: it shows what the author meant, if the acceptance was right. Must not
refuse anything; a fault in what was accepted shows as a difference.
"""

import zlib
from dataclasses import dataclass

from tests.support.peers import Pair

SMALL = 300  # bytes of a message that is sent byte by byte


@dataclass(frozen=True, slots=True)
class Meant:
    """One message; `end` is the offset behind it."""

    start: bytes
    fields: tuple[Pair, ...]
    body: bytes
    trailers: tuple[Pair, ...]
    end: int

    @property
    def chunked(self) -> bool:
        """Is it?"""
        return any(name.lower() == b"transfer-encoding" for name, _ in self.fields)

    def values(self, name: bytes) -> list[bytes]:
        """Of the fields of this name."""
        return [value for key, value in self.fields if key.lower() == name]


def read_head(text: bytes, at: int) -> Meant:
    """The head that begins there, as a message without a body."""
    end = text.index(b"\r\n\r\n", at)
    start, *lines = text[at:end].split(b"\r\n")
    return Meant(start, _pairs(lines), b"", (), end + 4)


def read_message(text: bytes, at: int, *, bodiless: bool = False, until_close: bool = False) -> Meant:
    """The message that begins there. `until_close`: that is how it ends without a length."""
    head = read_head(text, at)
    if bodiless:
        return head
    if head.chunked:
        body, trailers, end = _read_chunks(text, head.end)
        return Meant(head.start, head.fields, body, trailers, end)
    lengths = head.values(b"content-length")
    size = int(lengths[0]) if lengths else len(text) - head.end if until_close else 0
    assert len(text) >= head.end + size, "the body is not whole"
    return Meant(head.start, head.fields, text[head.end : head.end + size], (), head.end + size)


def _read_chunks(text: bytes, at: int) -> tuple[bytes, tuple[Pair, ...], int]:
    body = []
    while True:
        line = text.index(b"\r\n", at)
        size = int(text[at:line].split(b";")[0], 16)
        at = line + 2
        if size == 0:
            break
        body.append(text[at : at + size])
        at += size + 2
    lines = []
    while (line := text.index(b"\r\n", at)) != at:
        lines.append(text[at:line])
        at = line + 2
    return b"".join(body), _pairs(lines), at + 2


def _pairs(lines: list[bytes]) -> tuple[Pair, ...]:
    return tuple((name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines))


def cut(text: bytes) -> list[bytes]:
    """The text in parts: in bytes, in lines, or cut at a few places, as its own bytes decide."""
    chance = zlib.crc32(text)
    if chance % 3 == 0:
        size = 1 + len(text) // SMALL
        return [text[at : at + size] for at in range(0, len(text), size)]
    if chance % 3 == 1:
        return text.splitlines(keepends=True)
    places = sorted({(chance >> shift) % (len(text) + 1) for shift in (2, 9, 16)} | {len(text)})
    return [part for start, end in zip([0, *places], places, strict=False) if (part := text[start:end])]
