"""The PROXY protocol: who a connection is from, as a proxy in front of us says before anything else.

Owns what such a header may look like, in both versions (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt,
sections 2.1 and 2.2). Must not know who may say it.

Rules:
1. What is not exactly the protocol is refused: there is no guessing whether a header is there (section 2).
2. The answer does not depend on how the bytes were cut.
3. Who speaks for nobody but itself (LOCAL, UNKNOWN, no family) is its own client: a health check, for instance.

Units: bytes.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_WORD: Final = b"PROXY "
#: Section 2.1: the longest line, with its CRLF.
_LINE_MOST: Final = 107
_FIXED: Final = 16
#: What follows the fixed part; nginx takes as much (NGX_PROXY_PROTOCOL_MAX_HEADER), and addresses need 216.
_BLOCK_MOST: Final = 4096
HEADER_MOST: Final = _FIXED + _BLOCK_MOST
#: By address family and transport, which is a stream: the size of both addresses.
_SIZES: Final = {0x11: 12, 0x21: 36, 0x31: 216}
_UNIX: Final = 0x31
_CRC32C: Final = 0x03
_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True)
class Introduction:
    """A whole header: its size, the client's address (empty: unknown) and where it connected to, `host:port`."""

    size: int
    peer: str = ""
    local: str = "localhost"
    is_own: bool = False  # the sender speaks for itself: the addresses are those of the connection


def read(text: bytes) -> Introduction | None:
    """The header that this begins with; None while bytes of it are missing. Raises ValueError: it is none."""
    if SIGNATURE.startswith(text[: len(SIGNATURE)]):
        return _block(text) if len(text) >= _FIXED else None
    if _WORD.startswith(text[: len(_WORD)]):
        return _line(text)
    raise ValueError("it does not begin with a PROXY header")


def _line(text: bytes) -> Introduction | None:
    end = text.find(b"\n", 0, _LINE_MOST)
    if end < 0:
        if len(text) >= _LINE_MOST:
            raise ValueError(f"its PROXY line is longer than {_LINE_MOST} bytes")
        return None
    if text[end - 1 : end] != b"\r":
        raise ValueError("its PROXY line does not end with CRLF")
    _, kind, *places = text[: end - 1].split(b" ")
    if kind == b"UNKNOWN":
        return Introduction(end + 1, is_own=True)
    if kind not in {b"TCP4", b"TCP6"} or len(places) != 4:
        raise ValueError("its PROXY line does not say TCP4 or TCP6, two addresses and two ports, or UNKNOWN")
    source, target = (_address(kind, place.decode("ascii", "replace")) for place in places[:2])
    ports = [_port(place) for place in places[2:]]
    return Introduction(end + 1, str(source), _place(target, ports[1]))


def _address(kind: bytes, text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        if kind == b"TCP4":
            return ipaddress.IPv4Address(text)
        if "%" not in text:
            return _plain(ipaddress.IPv6Address(text))
    except ValueError:
        pass
    raise ValueError(f"its PROXY line has an address that is none of {kind.decode()}")


def _plain(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 address that came as IPv6 is told as what it is, as for connections without a header."""
    return address.ipv4_mapped or address


def _port(text: bytes) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError("its PROXY line has a port that is none")
    return int(text)


def _place(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _block(text: bytes) -> Introduction | None:
    version, command, kind = text[12] >> 4, text[12] & 15, text[13]
    size = int.from_bytes(text[14:_FIXED], "big")
    if version != 2 or command > 1:
        raise ValueError("its PROXY header is of a version or a command that is not known")
    if size > _BLOCK_MOST:
        raise ValueError(f"its PROXY header is longer than {HEADER_MOST} bytes")
    if command == 1 and kind != 0 and (kind not in _SIZES or size < _SIZES[kind]):
        raise ValueError("its PROXY header does not hold two addresses of streams")
    if len(text) < _FIXED + size:
        return None
    whole = text[: _FIXED + size]
    if command == 0 or kind == 0:
        return Introduction(len(whole), is_own=True)
    _check_additions(whole, _FIXED + _SIZES[kind])
    if kind == _UNIX:
        return Introduction(len(whole))
    width = (_SIZES[kind] - 4) // 2
    source, target = (whole[_FIXED + at : _FIXED + at + width] for at in (0, width))
    port = int.from_bytes(whole[_FIXED + 2 * width + 2 : _FIXED + 2 * width + 4], "big")
    return Introduction(len(whole), str(_unpacked(source)), _place(_unpacked(target), port))


def _unpacked(packed: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.IPv4Address(packed) if len(packed) == 4 else _plain(ipaddress.IPv6Address(packed))


def _check_additions(whole: bytes, at: int) -> None:
    """Behind the addresses stand types, lengths and values (section 2.2.1 and on); a checksum has to be right."""
    while at < len(whole):
        kind, size = whole[at], int.from_bytes(whole[at + 1 : at + 3], "big")
        start, at = at + 3, at + 3 + size
        if at > len(whole) or start > len(whole):
            raise ValueError("its PROXY header has an addition that is cut off")
        if kind == _CRC32C:
            told = int.from_bytes(whole[start:at], "big")
            if size != 4 or told != crc32c(whole[:start] + bytes(4) + whole[at:]):
                raise ValueError("the checksum of its PROXY header is wrong")


def crc32c(text: bytes) -> int:
    """The checksum of RFC 4960 appendix B, which section 2.2.3 asks for."""
    crc = 0xFFFFFFFF
    for byte in text:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _entry(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE: Final = tuple(map(_entry, range(256)))
