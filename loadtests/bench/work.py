"""What is measured: one `Work` for each line of the table. A new line is one more value here.

Owns: the requests, the responses and the goals. Must not: know how a proxy is configured or how time is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

# As a browser sends them; the load generator adds Host. Proxies pay for every field, so a bare request would flatter
# those that parse carefully.
BROWSER_HEADERS: Mapping[str, str] = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://shop.example.com/basket?step=2",
    "Cookie": "session=4f0c2d9ab1e84d6f9a37; consent=all",
    "Cache-Control": "max-age=0",
}


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table: what is asked, what is answered, and how far from the others we may be.

    `goals` maps the name of a peer to the greatest ratio, our processor time divided by the peer's.
    """

    name: str
    title: str
    body_bytes: int
    goals: Mapping[str, float]
    connections: int = 32
    headers: Mapping[str, str] = field(default_factory=lambda: BROWSER_HEADERS)

    def response(self) -> bytes:
        """The bytes with which the backend answers each request."""
        head = (
            "HTTP/1.1 200 OK\r\n"
            "Server: backend\r\n"
            "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
            "Content-Type: text/plain\r\n"
            f"Content-Length: {self.body_bytes}\r\n"
            "\r\n"
        )
        return head.encode() + b"x" * self.body_bytes


WORKS: tuple[Work, ...] = (
    Work(
        name="small",
        title="56-byte response, keep-alive",
        body_bytes=56,
        goals={"floor": 1.5, "haproxy": 1.1},
    ),
)
