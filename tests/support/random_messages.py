"""Random HTTP messages: valid ones with what their author meant, spoiled ones, and garbage.

The names that mean something to the proxy are listed here, for tests that say what becomes of each.
"""

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.support.peers import Pair


def names(text: str) -> frozenset[bytes]:
    return frozenset(text.encode().split())


FRAMING = names("content-length transfer-encoding")
#: Told anew by every hop.
ADDED = names("host x-forwarded-for x-forwarded-proto x-forwarded-host forwarded x-request-id x-serinus-version")
HOP = names("connection keep-alive proxy-connection proxy-authenticate proxy-authorization te upgrade http2-settings")
#: Not believed when a stranger says them.
STRANGERS = names("x-forwarded-port x-forwarded-prefix x-real-ip")
KNOWN = FRAMING | ADDED | HOP | STRANGERS
KNOWN |= names("cookie accept expect trailer referer user-agent traceparent content-type")
#: Connection must not name them.
PROTECTED = FRAMING | names("host content-type cookie authorization traceparent x-real-ip x-request-id forwarded")
KNOWN_METHODS = tuple(b"GET HEAD POST PUT DELETE PATCH OPTIONS".split())

TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TARGET = bytes(set(range(0x21, 0x7F)) - set(b"#"))
VALUE = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])


def bytes_of(alphabet: bytes, least: int, most: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(alphabet), min_size=least, max_size=most).map(bytes)


METHODS = st.one_of(
    st.sampled_from(KNOWN_METHODS),
    bytes_of(TOKEN, 1, 20).filter(lambda method: method not in (b"CONNECT", b"TRACE")),
)
NAMES = st.one_of(
    bytes_of(TOKEN, 1, 30),
    st.sampled_from(
        sorted(KNOWN | {b"X-Serinus-Key", b"x_forwarded_for", b"X_Real-IP", b"content_length", b"x-a", b"X-B"})
    ),
).filter(lambda name: name.lower() not in FRAMING | {b"host", b"expect", b"connection", b"cookie"})
FIELDS = st.lists(st.tuples(NAMES, bytes_of(VALUE, 0, 40)), max_size=12)
CHUNKS = st.lists(st.binary(min_size=1, max_size=300), max_size=6)
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b';a="b;\\"c"', b";a=1;b"])


@dataclass(frozen=True)
class Raw:
    """A message as it is sent, and what its author meant."""

    text: bytes
    start: bytes
    fields: tuple[Pair, ...]
    body: bytes
    chunked: bool


@st.composite
def bodies(draw: st.DrawFn) -> tuple[list[Pair], bytes, bytes]:
    """Framing fields, the body as it is sent, and the body."""
    chunks = draw(CHUNKS)
    body = b"".join(chunks)
    kind = draw(st.sampled_from(["none", "length", "chunks"]))
    if kind == "none":
        return [], b"", b""
    if kind == "length":
        return [(b"Content-Length", draw(st.sampled_from([b"", b"0", b"000"])) + b"%d" % len(body))], body, body
    size = st.sampled_from([b"%x", b"%X", b"0%x"])
    text = b"".join(draw(size) % len(chunk) + draw(EXTENSIONS) + b"\r\n" + chunk + b"\r\n" for chunk in chunks)
    return [(b"Transfer-Encoding", b"chunked")], text + b"0\r\n\r\n", body


@st.composite
def messages(draw: st.DrawFn, start: bytes, host: bool) -> Raw:
    framing, sent, body = draw(bodies())
    fields = draw(FIELDS)
    named = draw(st.lists(st.sampled_from([name for name, _ in fields]), max_size=2)) if fields else []
    named = [name for name in named if is_removable(name)]
    own = [*([(b"Host", b"a.example")] if host else []), *framing]
    fields = draw(st.permutations([*fields, *own, *([(b"Connection", b", ".join(named))] if named else [])]))
    white = st.sampled_from([b"", b" ", b"\t", b"  \t "])
    lines = [name + b":" + draw(white) + value + draw(white) for name, value in fields]
    text = b"\r\n".join([start, *lines, b"", b""]) + sent
    return Raw(text, start, tuple(fields), body, b"Transfer-Encoding" in dict(framing))


@st.composite
def requests(draw: st.DrawFn) -> Raw:
    target = b"/" + draw(bytes_of(TARGET, 0, 60))
    return draw(messages(draw(METHODS) + b" " + target + b" HTTP/1.1", host=True))


@st.composite
def answers(draw: st.DrawFn) -> Raw:
    status = draw(st.sampled_from([200, 201, 206, 299, 301, 400, 404, 418, 499, 500, 503, 599]))
    start = b"HTTP/1.1 %d " % status + draw(bytes_of(VALUE.replace(b"\t", b""), 0, 20))
    return draw(messages(start, host=False).filter(lambda raw: FRAMING & {name.lower() for name, _ in raw.fields}))


def cut(text: bytes, positions: list[int]) -> list[bytes]:
    ends = sorted({position % (len(text) + 1) for position in positions} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


CUTS = st.lists(st.integers(0, 4000), max_size=8)


def is_removable(name: bytes) -> bool:
    """May Connection name it?"""
    lower = name.lower()
    return lower not in PROTECTED | {b"close", b"keep-alive", b"upgrade", b"te"} and not lower.startswith(
        (b"x-serinus-", b"x-forwarded-")
    )


# What is no message

PIECES = [
    piece + b"\r\n"
    for text in (
        b"GET / HTTP/1.1|POST /x HTTP/1.1|GET / HTTP/1.0|HEAD / HTTP/1.1|OPTIONS * HTTP/1.1|Host: a.example",
        b"Content-Length: 5|Transfer-Encoding: chunked|Connection: close|Connection: x|Expect: 100-continue",
        b"Upgrade: websocket|Cookie: serinus_a=b; c|HTTP/1.1 200 OK|HTTP/1.1 100 Continue|HTTP/1.0 200 OK",
        b"HTTP/1.1 304 Not Modified|5|hello|0||5;a=b|X-Forwarded-For: x|ffffffff",
    )
    for piece in text.split(b"|")
]
GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join),
)
ODD = st.sampled_from([b"\r", b"\n", b"\0", b":", b" ", b"\t", b"\x85", b"\xff", b"0", b",", b"\r\n", b"\r\n\r\n"])


@st.composite
def spoiled(draw: st.DrawFn, raws: st.SearchStrategy[Raw]) -> bytes:
    """A valid message in which a few bytes are changed, lost, or there twice."""
    text = draw(raws).text
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        to = at + draw(st.integers(0, 20))
        instead = draw(st.one_of(st.just(b""), ODD, st.just(2 * text[at:to])))
        text = text[:at] + instead + text[to:]
    return text
