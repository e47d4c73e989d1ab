"""A stand-in for the admin API: answers what it is told to answer, and remembers what it was asked.

Owns one service in memory. It does not judge: refusals are put into `refusals` by the test.
"""

import copy
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import unquote

from cli.shapes import EndpointStatus, ServiceStatus


def an_endpoint(address: str, **changes: Any) -> Any:
    usual = {"address": address, "state": "up", "healthy": True, "detail": "", "since": None}
    return {**usual, "in_flight": 0, "ejected_workers": 0, **changes}


def a_version(weight: float, target: float, *endpoints: EndpointStatus, **changes: Any) -> Any:
    unknown = {"actual": None, "requests_per_second": 0.0, "error_share": None, "p50": None, "p99": None}
    return {"weight": weight, "target": target, "endpoints": list(endpoints), **unknown, **changes}


def a_shop() -> ServiceStatus:
    return {
        "name": "shop",
        "generation": 7,
        "split": {"stable": 90.0, "canary": 10.0},
        "active": None,
        "versions": {
            "stable": a_version(
                90.0,
                0.9,
                an_endpoint("127.0.0.1:9001"),
                an_endpoint("127.0.0.1:9002", healthy=False, detail="connection refused"),
                **{"actual": 0.901, "requests_per_second": 180.2, "error_share": 0.0, "p50": 0.0012, "p99": 0.034},
            ),
            "canary": a_version(10.0, 0.1, an_endpoint("127.0.0.1:9003", state="drain", in_flight=2)),
        },
        "last_change": {"by": "alice", "actor": "", "reason": "looks good", "at": 0.0, "generation": 7},
        "split_change": {"by": "alice", "actor": "", "reason": "looks good", "at": 0.0, "generation": 7},
        "lease": None,
    }


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    body: Any
    headers: dict[str, str]


@dataclass
class FakeAdmin:
    """The server's memory. `refusals` maps method and path to a status and a problem."""

    address: str = ""
    shop: ServiceStatus = field(default_factory=a_shop)
    asked: list[Asked] = field(default_factory=list)
    refusals: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    in_flight: list[int] = field(default_factory=list)
    """What the canary's endpoint has in flight, one number per look; the last one stays."""
    is_ready: bool = True

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """The status and the content."""
        self.asked.append(asked)
        path = asked.path.partition("?")[0]
        if refusal := self.refusals.get((asked.method, path)):
            return refusal
        if path in ("/healthz", "/readyz"):
            return (200 if path == "/healthz" or self.is_ready else 503), {}
        if path == "/v1/state":
            return 200, {"generation": self.shop["generation"], "services": {"shop": self.shop}, "routes": []}
        if path == "/v1/reload":
            return 200, {"generation": self.shop["generation"] + 1}
        if path == "/v1/config/diff":
            return 200, self._differences()
        return 200, self._shop_now(asked.method)

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    def _shop_now(self, method: str) -> ServiceStatus:
        shop = copy.deepcopy(self.shop)
        if method != "GET":
            shop["generation"] += 1
        elif self.in_flight:
            now = self.in_flight.pop(0) if len(self.in_flight) > 1 else self.in_flight[0]
            shop["versions"]["canary"]["endpoints"][0]["in_flight"] = now
        return shop

    def _differences(self) -> dict[str, Any]:
        path, live, file = "services.shop.split", {"stable": 90, "canary": 10}, {"stable": 99, "canary": 1}
        difference = {"service": "shop", "path": path, "live": live, "file": file}
        return {"generation": 7, "differences": [{**difference, "last_change": self.shop["last_change"]}]}


class _Answering(BaseHTTPRequestHandler):
    admin: ClassVar[FakeAdmin]

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        asked = Asked(self.command, unquote(self.path), body, dict(self.headers.items()))
        status, content = self.admin.answer(asked)
        encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the names that http.server looks for

    def address_string(self) -> str:
        return "client"

    def log_message(self, format: str, *args: Any) -> None:
        return


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(path: str | None = None) -> Iterator[FakeAdmin]:
    """A fake that answers on 127.0.0.1, or on the unix socket at `path`."""
    admin = FakeAdmin()
    answering = type("Answering", (_Answering,), {"admin": admin})
    server: socketserver.BaseServer
    if path is None:
        server = _TcpServer(("127.0.0.1", 0), answering)
        admin.address = f"127.0.0.1:{server.socket.getsockname()[1]}"
    else:
        server = _UnixServer(path, answering)
        admin.address = f"unix:{path}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield admin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
