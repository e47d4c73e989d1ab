"""The PROXY protocol, byte by byte. Texts and numbers are those of its specification, sections 2.1 and 2.2."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.introduction import HEADER_MOST, SIGNATURE, Introduction, crc32c, read

V4 = bytes([192, 0, 2, 7, 203, 0, 113, 1]) + struct.pack(">HH", 56324, 443)
V6 = bytes.fromhex("20010db8000000000000000000000007") + bytes(15) + b"\1" + struct.pack(">HH", 1, 8443)
UNIX = b"/client".ljust(108, b"\0") + b"/server".ljust(108, b"\0")


def block(kind: int, addresses: bytes, additions: bytes = b"", *, command: int = 0x21) -> bytes:
    """A header of version 2."""
    content = addresses + additions
    return SIGNATURE + bytes([command, kind]) + struct.pack(">H", len(content)) + content


def addition(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value


def with_checksum(kind: int, addresses: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    blank = block(kind, addresses, before + addition(3, bytes(4)) + after)
    return block(kind, addresses, before + addition(3, struct.pack(">I", crc32c(blank))) + after)


CLIENT_V4 = ("192.0.2.7", "203.0.113.1:443")
CLIENT_V6 = ("2001:db8::7", "[::1]:8443")
GOOD: list[tuple[bytes, tuple[str, str] | None]] = [
    (b"PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n", CLIENT_V4),
    (b"PROXY TCP4 255.255.255.255 0.0.0.0 0 65535\r\n", ("255.255.255.255", "0.0.0.0:65535")),
    (b"PROXY TCP6 2001:db8::7 ::1 1 8443\r\n", CLIENT_V6),
    (b"PROXY TCP6 2001:0DB8:0:0::0007 0::1 1 8443\r\n", CLIENT_V6),
    (b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n", None),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:203.0.113.1 1 443\r\n", CLIENT_V4),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n", None),
    (b"PROXY UNKNOWN what it says is not looked at\r\n", None),
    (block(0x11, V4), CLIENT_V4),
    (block(0x21, V6), CLIENT_V6),
    (block(0x21, bytes(10) + b"\xff\xff" + V4[:4] + bytes(10) + b"\xff\xff" + V4[4:8] + V4[8:]), CLIENT_V4),
    (block(0x31, UNIX), ("", "localhost")),
    (block(0x11, V4, addition(4, bytes(100)) + addition(0xEA, b"vpce-1")), CLIENT_V4),
    (with_checksum(0x11, V4, after=addition(4, b"")), CLIENT_V4),
    (with_checksum(0x21, V6, before=addition(1, b"h2")), CLIENT_V6),
    (block(0x11, V4, addition(4, bytes(HEADER_MOST - 16 - len(V4) - 3))), CLIENT_V4),
    (block(0x00, b""), None),
    (block(0x00, b"anything at all"), None),
    (block(0x00, b"", command=0x20), None),
    (block(0x11, V4, command=0x20), None),
    (block(0x22, b"", addition(4, b"x"), command=0x20), None),
]
BAD = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"PROXY\r\n\r\n",
    b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    b"PROXY UNKNOWN\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1  2\r\n",
    b"PROXY TCP4\t1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1_0 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
    b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 ::1 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 example.com 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 \xd9\xa1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP6 [::1] ::1 1 2\r\n",
    b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    SIGNATURE[:-1] + b"\r" + bytes(4),
    block(0x11, V4, command=0x11),
    block(0x11, V4, command=0x22),
    block(0x11, V4, command=0x2F),
    block(0x12, V4),
    block(0x41, V4),
    block(0x11, V4[:-1]),
    block(0x21, V6[:-1]),
    block(0x31, UNIX[:-1]),
    block(0x11, V4, b"\x04"),
    block(0x11, V4, b"\x04\x00"),
    block(0x11, V4, addition(4, b"x")[:-1]),
    block(0x11, V4, addition(3, b"\0\0\0\0")),
    block(0x11, V4, addition(3, b"")),
    block(0x11, V4, addition(4, bytes(HEADER_MOST))),
]


@pytest.mark.parametrize(("text", "places"), GOOD)
def test_a_header_is_understood_whatever_follows_it_and_however_it_was_cut(
    text: bytes, places: tuple[str, str] | None
) -> None:
    said = read(text)

    assert said is not None
    assert said.size == len(text)
    if places:
        assert (said.is_own, said.peer, said.local) == (False, *places)
    assert all(read(text[:end]) is None for end in range(len(text)))
    assert all(read(text + more) == said for more in (b"GET", b"\r\n", b"PROXY UNKNOWN\r\n", text))


@pytest.mark.parametrize("text", [text for text, _ in GOOD if b"UNKNOWN" in text or text[12:14] in (b"!\0", b" \0")])
def test_who_speaks_for_itself_is_its_own_client(text: bytes) -> None:
    assert read(text) == Introduction(len(text), is_own=True)


@pytest.mark.parametrize("text", BAD)
def test_anything_else_is_refused_with_a_reason_however_it_was_cut(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"PROXY"):
        read(text)
    refused = False
    for end in range(len(text)):
        try:
            assert read(text[:end]) is None
            assert not refused, "what was refused is not taken with more of it"
        except ValueError:
            refused = True


def test_the_checksum_is_the_one_of_its_rfc() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP6 ", SIGNATURE, SIGNATURE + b"!\x11"]))
def test_whatever_comes_it_is_a_header_more_is_needed_or_it_is_refused(text: bytes, start: bytes) -> None:
    text = start + text
    with suppress(ValueError):
        said = read(text)
        assert said is None or 0 < said.size <= min(len(text), HEADER_MOST)
