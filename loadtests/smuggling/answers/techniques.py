"""Answers in which another one is hidden, or whose end two readers could see in different places.

Owns: the list. In the bytes `@@@@@@@@` stands for the identifier of the request, which has the same length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ID: Final = b"@@@@@@@@"
OWN: Final = ID + b" own"
OK: Final = b"HTTP/1.1 200 OK\r\n"
#: The answer that nobody asked for.
HIDDEN: Final = OK + b"Content-Length: 6\r\n\r\nHIDDEN"
LENGTH: Final = b"Content-Length: %d\r\n" % len(OWN)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
SIZE: Final = b"%x" % len(OWN)
LAST: Final = b"0\r\n\r\n"
CHUNKS: Final = SIZE + b"\r\n" + OWN + b"\r\n" + LAST
WHOLE: Final = OK + LENGTH + b"\r\n" + OWN


@dataclass(frozen=True, slots=True)
class AnswerTechnique:
    """One way to answer.

    `whole` is the body that a client may take for its answer, None where it must not take any. `ends`: the upstream
    closes the connection behind it. `interim`: with answers before the final one. `late` is sent once the answer was.
    """

    family: str
    name: str
    source: str
    text: bytes
    whole: bytes | None = None
    method: str = "GET"
    ends: bool = False
    interim: bool = False
    late: bytes = b""


def _lengths() -> Iterator[AnswerTechnique]:
    size = len(OWN)
    spellings = {
        "plus": f"+{size}",
        "minus": f"-{size}",
        "hex": f"0x{size:x}",
        "letters": "abc",
        "nothing": "",
        "list": f"{size}, {size}",
        "list of two": f"{size}, 5",
        "underscore": f"1_{size % 10}",
        "point": f"{size}.0",
        "space inside": "1 2",
        "quoted": f'"{size}"',
        "over 2^63": "9223372036854775808",
        "over 2^64": str(2**64 + size),
        "vertical tab": f"{size}\v",
        "semicolon": f"{size};",
    }
    for name, value in spellings.items():
        yield AnswerTechnique(
            "CL spelling", name, "RFC 9112 6.3", OK + f"Content-Length: {value}\r\n\r\n".encode() + OWN + HIDDEN
        )
    for name, second in {"same": LENGTH, "other": b"Content-Length: 3\r\n", "zero": b"Content-Length: 0\r\n"}.items():
        yield AnswerTechnique("CL.CL", name, "RFC 9110 8.6", OK + LENGTH + second + b"\r\n" + OWN + HIDDEN)
    for name, fields in {
        "CL first": LENGTH + CHUNKED,
        "TE first": CHUNKED + LENGTH,
        "CL 0": b"Content-Length: 0\r\n" + CHUNKED,
    }.items():
        yield AnswerTechnique("CL.TE", name, "RFC 9112 6.1", OK + fields + b"\r\n" + CHUNKS + HIDDEN)


def _codings() -> Iterator[AnswerTechnique]:
    values = {
        "identity": "identity",
        "twice": "chunked, chunked",
        "not last": "chunked, identity",
        "gzip": "gzip, chunked",
        "quoted": '"chunked"',
        "x-chunked": "xchunked",
        "vertical tab": "\vchunked",
        "parameter": "chunked;a=b",
        "nothing": "",
        "comma": ",chunked",
        "high byte": "chunked\x85",
    }
    for name, value in values.items():
        text = OK + f"Transfer-Encoding: {value}\r\n\r\n".encode("latin-1") + CHUNKS + HIDDEN
        yield AnswerTechnique("TE spelling", name, "RFC 9112 6.1", text, ends=True)
    yield AnswerTechnique("TE spelling", "two fields", "RFC 9112 6.1", OK + 2 * CHUNKED + b"\r\n" + CHUNKS + HIDDEN)
    yield AnswerTechnique(
        "TE spelling",
        "HTTP/1.0",
        "RFC 9112 6.1",
        b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + CHUNKS + HIDDEN,
        ends=True,
    )
    yield AnswerTechnique("TE spelling", "any case", "RFC 9112 7", OK + CHUNKED.upper() + b"\r\n" + CHUNKS, OWN)


def _chunks() -> Iterator[AnswerTechnique]:
    lines = {
        "plus": b"+" + SIZE,
        "minus": b"-" + SIZE,
        "0x": b"0x" + SIZE,
        "underscore": b"0_" + SIZE,
        "g": SIZE + b"g",
        "space before": b" " + SIZE,
        "nothing": b"",
        "NUL": SIZE + b"\0",
        "all ones": b"f" * 16,
        "17 digits": b"1" + b"0" * 16,
        "LF in the extension": SIZE + b";\n",
        "CR in the extension": SIZE + b";a\rb",
        "2 KiB of it": SIZE + b";" + b"a" * 2048,
    }
    for name, line in lines.items():
        yield AnswerTechnique(
            "chunk size",
            name,
            "RFC 9112 7.1",
            OK + CHUNKED + b"\r\n" + line + b"\r\n" + OWN + b"\r\n" + LAST + HIDDEN,
            ends=True,
        )
    for name, body in {
        "size by LF": SIZE + b"\n" + OWN + b"\r\n" + LAST,
        "content by LF": SIZE + b"\r\n" + OWN + b"\n" + LAST,
        "content by nothing": SIZE + b"\r\n" + OWN + LAST,
        "content by two bytes": SIZE + b"\r\n" + OWN + b"XX" + LAST,
        "last chunk by LF": CHUNKS[:-5] + b"0\n\n",
        "trailers by LF": CHUNKS[:-2] + b"\n",
        "trailer without a colon": CHUNKS[:-2] + b"HTTP/1.1 200 OK\r\n\r\n",
        "trailer folded": CHUNKS[:-2] + b"X: y\r\n z\r\n\r\n",
    }.items():
        yield AnswerTechnique("chunk line end", name, "RFC 9112 7.1", OK + CHUNKED + b"\r\n" + body + HIDDEN, ends=True)
    for name, line in {"ordinary": b"X-Checksum: abc", "Set-Cookie": b"Set-Cookie: hidden=1"}.items():
        yield AnswerTechnique(
            "trailer", name, "RFC 9110 6.5", OK + CHUNKED + b"\r\n" + CHUNKS[:-2] + line + b"\r\n\r\n", OWN
        )
    for name, line in {
        "Content-Length": b"Content-Length: 6",
        "Transfer-Encoding": b"Transfer-Encoding: chunked",
    }.items():
        yield AnswerTechnique(
            "trailer", name, "RFC 9110 6.5.1", OK + CHUNKED + b"\r\n" + CHUNKS[:-2] + line + b"\r\n\r\n" + HIDDEN, OWN
        )


def _too_much() -> Iterator[AnswerTechnique]:
    source = "RFC 9112 6.3"
    for name, more in {"an answer": HIDDEN, "CR LF": b"\r\n", "a byte": b"x", "garbage": b"\0\xff" * 40}.items():
        yield AnswerTechnique("too much", f"{name} behind CL", source, WHOLE + more, OWN)
        yield AnswerTechnique("too much", f"{name} behind chunks", source, OK + CHUNKED + b"\r\n" + CHUNKS + more, OWN)
        yield AnswerTechnique("too much", f"{name} while idle", source, WHOLE, OWN, late=more)
    for status in (b"204 No Content", b"304 Not Modified"):
        head = b"HTTP/1.1 %b\r\n" % status
        for name, fields in {"CL": b"Content-Length: %d\r\n" % len(HIDDEN), "nothing": b"", "chunks": CHUNKED}.items():
            body = b"%x\r\n%b\r\n%b" % (len(HIDDEN), HIDDEN, LAST) if name == "chunks" else HIDDEN
            yield AnswerTechnique(
                "no body", f"{status[:3].decode()} with {name}", "RFC 9110 6.4.1", head + fields + b"\r\n" + body, b""
            )
    for name, answer in {
        "CL": HIDDEN,
        "chunks": OK + CHUNKED + b"\r\n" + CHUNKS,
        "no length": OK + b"\r\n" + HIDDEN,
    }.items():
        yield AnswerTechnique("no body", f"HEAD with {name}", "RFC 9110 9.3.2", answer + HIDDEN, b"", method="HEAD")


def _too_little() -> Iterator[AnswerTechnique]:
    for name, text in {
        "CL": OK + b"Content-Length: 100\r\n\r\n" + OWN,
        "CL and an answer": OK + b"Content-Length: 100\r\n\r\n" + HIDDEN,
        "no last chunk": OK + CHUNKED + b"\r\n" + CHUNKS[:-5],
        "half of the last chunk": OK + CHUNKED + b"\r\n" + CHUNKS[:-2],
        "half a chunk": OK + CHUNKED + b"\r\n" + SIZE + b"\r\n" + ID,
        "half a head": OK + LENGTH,
        "nothing": b"",
    }.items():
        yield AnswerTechnique("too little", name, "RFC 9112 8", text, ends=True)


def _interims() -> Iterator[AnswerTechnique]:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    source = "RFC 9110 15.2"
    yield AnswerTechnique("interim", "three", source, 3 * hints + WHOLE, OWN, interim=True)
    yield AnswerTechnique("interim", "100 unasked", source, b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, OWN)
    yield AnswerTechnique("interim", "flood", source, 5000 * hints + WHOLE, ends=True, interim=True)
    yield AnswerTechnique(
        "interim",
        "101 unasked",
        "RFC 9110 15.2.2",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + WHOLE,
        ends=True,
    )
    yield AnswerTechnique(
        "interim",
        "with CL and a body",
        "RFC 9112 6.3",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 6\r\n\r\nHIDDEN" + WHOLE,
        ends=True,
        interim=True,
    )
    yield AnswerTechnique("interim", "behind the answer", source, WHOLE + hints, OWN)


def _heads() -> Iterator[AnswerTechnique]:
    fields = {
        "obs-fold": b"X: y\r\n z\r\n",
        "folded length": b"Content-Length:\r\n 3\r\n",
        "LF": b"X: y\nSet-Cookie: hidden=1\r\n",
        "CR": b"X: y\rSet-Cookie: hidden=1\r\n",
        "NUL": b"X: \0\r\n",
        "no colon": b"HTTP/1.1 200 OK\r\n",
        "empty name": b": y\r\n",
        "space in the name": b"X y: z\r\n",
        "high byte in the name": b"X\xff: y\r\n",
    }
    for name, field in fields.items():
        yield AnswerTechnique("head", name, "RFC 9112 5", OK + field + LENGTH + b"\r\n" + OWN + HIDDEN, ends=True)
    yield AnswerTechnique(
        "head", "all by LF", "RFC 9112 2.2", (OK + LENGTH + b"\r\n").replace(b"\r", b"") + OWN + HIDDEN, ends=True
    )
    yield AnswerTechnique(
        "head", "endless", "RFC 9110 5.4", OK + b"X: y\r\n" * 20_000 + LENGTH + b"\r\n" + OWN, ends=True
    )
    for line in (
        "HTTP/1.1  200 OK",
        "HTTP/1.1 2OO OK",
        "HTTP/1.1 1200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/2.0 200 OK",
        "ICY 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 099 OK",
        "200 OK",
    ):
        yield AnswerTechnique(
            "status line",
            line.replace("\t", " TAB "),
            "RFC 9112 4",
            line.encode() + b"\r\n" + LENGTH + b"\r\n" + OWN + HIDDEN,
            ends=True,
        )


def _to_the_end() -> Iterator[AnswerTechnique]:
    source = "RFC 9112 6.3"
    for version in (b"HTTP/1.1", b"HTTP/1.0"):
        for name, field in {"": b"", " and keep-alive": b"Connection: keep-alive\r\n"}.items():
            yield AnswerTechnique(
                "until the end",
                f"{version.decode()}{name}",
                source,
                version + b" 200 OK\r\n" + field + b"\r\n" + OWN + HIDDEN,
                OWN + HIDDEN,
                ends=True,
            )
    yield AnswerTechnique("until the end", "nothing", source, OK + b"\r\n", b"", ends=True)
    for name in ("Content-Length", "Transfer-Encoding", "Set-Cookie"):
        yield AnswerTechnique(
            "Connection names",
            name,
            "RFC 9110 7.6.1",
            OK + f"Connection: {name}\r\n".encode() + LENGTH + b"\r\n" + OWN,
            OWN,
        )


ANSWERS: Final = tuple(
    technique
    for family in (_lengths, _codings, _chunks, _too_much, _too_little, _interims, _heads, _to_the_end)
    for technique in family()
)
