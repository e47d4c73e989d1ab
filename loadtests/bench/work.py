"""What is measured: one `Work` for each line of the table. A new line is one more value here.

Owns: the requests, the responses and the goals. Must not: know how a proxy is configured or how time is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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


#: The peers that a goal or a comparison may name: everybody but ourselves without a feature.
OTHERS: Sequence[str] = ("floor", "haproxy", "nginx", "traefik", "envoy", "caddy")
PLAIN = "plain"

_KIB, _MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table: what is asked, what is answered, and how far from the others we may be.

    `goals` maps the name of a peer to the greatest ratio, our processor time divided by the peer's. `features` are
    what the configurations switch on for it (a peer whose configuration does not know one is left out); `against` who
    is compared: `plain` is Serinus without the features.
    """

    name: str
    title: str
    body_bytes: int = 56
    goals: Mapping[str, float] = field(default_factory=dict)
    connections: int = 32
    headers: Mapping[str, str] = field(default_factory=lambda: BROWSER_HEADERS)
    chunks: int = 0
    """The body comes in so many chunks; 0: with its length."""
    upload_bytes: int = 0
    """What each request uploads; 0: GET without a body."""
    users: int = 0
    """So many users take turns, each with a cookie `session` and a header X-User-Id; 0: all requests are alike."""
    features: frozenset[str] = frozenset()
    against: Sequence[str] = OTHERS
    may_spread: bool = False
    """The proxy may run on both cores, beside the load."""

    @property
    def is_encrypted(self) -> bool:
        """Whether clients speak TLS."""
        return "tls" in self.features

    def response(self) -> bytes:
        """The bytes with which the backend answers each request."""
        framing = "Transfer-Encoding: chunked" if self.chunks else f"Content-Length: {self.body_bytes}"
        head = (
            "HTTP/1.1 200 OK\r\n"
            "Server: backend\r\n"
            "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"
            "Content-Type: text/plain\r\n"
            f"{framing}\r\n"
            "\r\n"
        )
        if not self.chunks:
            return head.encode() + b"x" * self.body_bytes
        data = b"x" * (self.body_bytes // self.chunks)
        return head.encode() + b"%x\r\n%s\r\n" % (len(data), data) * self.chunks + b"0\r\n\r\n"

    def script(self) -> str:
        """What the load generator has to be told beyond its command line, in Lua; empty: nothing."""
        if self.upload_bytes:
            return f'wrk.method = "POST"\nwrk.body = string.rep("x", {self.upload_bytes})\n'
        return _TAKING_TURNS % self.users if self.users else ""


# The requests are made before the load begins: while it runs one is picked, which costs the generator next to nothing.
_TAKING_TURNS = """
local requests, turn = {}, 0
init = function(arguments)
  for user = 1, %d do
    wrk.headers["Cookie"] = "session=" .. user .. "; consent=all"
    wrk.headers["X-User-Id"] = "user-" .. user
    requests[user] = wrk.format()
  end
end
request = function()
  turn = turn %% #requests + 1
  return requests[turn]
end
"""


def _with(name: str, title: str, feature: str, goal: float | None = None, **more: Any) -> Work:
    """What a feature costs: we with it, against us without it."""
    goals = {} if goal is None else {PLAIN: goal}
    return Work(name, title, goals=goals, features=frozenset({feature}), against=(PLAIN,), **more)


#: The table of docs/performance.md, in its order.
TABLE: tuple[Work, ...] = (
    Work("small", "56-byte response, keep-alive", goals={"floor": 1.4, "haproxy": 0.95, "nginx": 0.75}),
    Work("100k", "100 KiB response", 100 * _KIB, {"haproxy": 1.0}),
    Work("1m", "1 MiB response", _MIB, {"haproxy": 1.05}),
    Work("tls", "TLS from the client, 56 bytes", goals={"haproxy": 1.15, "nginx": 0.8}, features=frozenset({"tls"})),
    Work("tls-100k", "TLS, 100 KiB", 100 * _KIB, {"haproxy": 0.9}, features=frozenset({"tls"})),
    Work(
        "connections",
        "a new connection for each request",
        goals={"nginx": 1.0},
        headers={**BROWSER_HEADERS, "Connection": "close"},
        against=OTHERS[1:],  # the relay does not read that it shall close, so it would keep its connections
    ),
    Work("post-1k", "POST of 1 KiB", goals={"nginx": 1.0}, upload_bytes=_KIB),
    Work("post-1m", "POST of 1 MiB", goals={"nginx": 1.0}, upload_bytes=_MIB),
    Work("chunked", "chunked response of 100 chunks", 10_000, {"nginx": 1.0}, chunks=100),
    Work("log", "access log on, JSON, to a file", goals={"nginx": 1.0}, features=frozenset({"access_log"})),
    _with("sticky", "sticky by cookie", "sticky", 1.1, users=1000),
    _with("workers", "2 workers on 2 cores, against 1", "two_workers", 1.05, may_spread=True),
    _with("scale", "1,000 services, 10,000 routes, 10,000 endpoints", "many", 1.1),
)

#: What else can be switched on or off, one by one: the table of costs in docs/performance.md.
COSTS: tuple[Work, ...] = (
    _with("cost-log", "access log, JSON, to a file", "access_log"),
    _with("cost-sticky-header", "sticky by a header", "sticky_header", users=1000),
    _with("cost-routes", "three routes by header before the usual one", "header_routes"),
    _with("cost-via", "Via in requests and responses", "via"),
    _with("cost-expose", "the version in the response", "expose"),
    _with("cost-breaker", "breaker of the new version", "breaker"),
    _with("cost-health", "active health checks", "health"),
    _with("cost-no-retries", "without retries", "no_retries"),
    _with("cost-no-ejection", "without passive checks of endpoints", "no_ejection"),
)

WORKS: tuple[Work, ...] = (*TABLE, *COSTS)
