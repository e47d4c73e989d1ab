"""What a technique is, and the bytes that many of them share.

Invariants: names are unique within a family; `HIDDEN` is the request that must not arrive.
"""

from dataclasses import dataclass

HOST = b"Host: shop.example\r\n"
POST = b"POST /up/attack/000 HTTP/1.1\r\n" + HOST
GET = b"GET /up/attack/000 HTTP/1.1\r\n" + HOST
HIDDEN = b"GET /up/hidden/000 HTTP/1.1\r\nHost: hidden.example\r\n\r\n"
# A hidden request without an end: it swallows the first line of whatever comes next as the value of a field.
OPEN_END = b"GET /up/hidden/000 HTTP/1.1\r\nHost: hidden.example\r\nX-Swallowed: "
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Technique:
    """One way to hide a request.

    `parts` are sent one after the other, each when the one before was answered or nothing came for a moment. `waits`:
    the proxy may wait for more bytes, so silence is an answer. `pipelined`: the hidden request is a request by the
    rules, and may arrive, but only as one that we saw.
    """

    family: str
    name: str
    source: str  # a section of an RFC, a CVE, or who described it
    parts: tuple[bytes, ...]
    waits: bool = False
    pipelined: bool = False


def with_length(head: bytes, body: bytes, length: str | None = None) -> bytes:
    """The head with a Content-Length, by default the right one, and the body."""
    said = str(len(body)) if length is None else length
    return head + b"Content-Length: " + said.encode("latin-1") + b"\r\n\r\n" + body


def chunk(content: bytes) -> bytes:
    """One chunk, framed as it should be."""
    return b"%x\r\n%b\r\n" % (len(content), content)
