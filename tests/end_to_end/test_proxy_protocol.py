"""The PROXY protocol of real programs: HAProxy in front, in both versions, with and without TLS, and curl."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

RequireTool = Callable[[str, str], str]
OURS = Authority()
CLIENT = "127.0.0.5"

HAPROXY = """
global
  maxconn 2000
defaults
  mode tcp
  timeout connect 30s
  timeout client 30s
  timeout server 30s
  default-server check inter 100ms check-send-proxy
frontend plain
  bind fd@{plain}
  default_backend first
frontend secure
  bind fd@{secure}
  default_backend second
backend first
  server s {first} {sending}
backend second
  server s {second} {sending}
"""


class _Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.headers.get("X-Forwarded-For", "nobody").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    """Two listeners behind proxies, the second with TLS, before an upstream that says for whom it was asked."""
    folder = tmp_path_factory.mktemp("behind")
    OURS.write(folder, "server", "localhost")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Origin)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    behind: dict[str, Any] = {"address": "127.0.0.1:0", "proxy_protocol": True}
    listen = [behind, {**behind, "tls": {"cert": "server.pem", "key": "server.key"}}]
    tree = a_service({"v1": f"127.0.0.1:{server.server_port}"}, {"v1": 1})
    with whole_proxy(folder, {**tree, "listen": listen, "trusted_proxies": ["127.0.0.1"]}) as running:
        yield running
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def haproxy(program: str, folder: Path, proxy: WholeProxy, sending: str) -> Iterator[list[int]]:
    """HAProxy in front of both listeners, which sends PROXY headers; the ports where it listens itself."""
    first, second = (f"{host}:{port}" for host, port in proxy.addresses)
    with socket.create_server(("127.0.0.1", 0)) as plain, socket.create_server(("127.0.0.1", 0)) as secure:
        ports, fds = [each.getsockname()[1] for each in (plain, secure)], [plain.fileno(), secure.fileno()]
        config = folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(plain=fds[0], secure=fds[1], first=first, second=second, sending=sending))
        running = subprocess.Popen([program, "-db", "-f", str(config)], pass_fds=fds)
    try:
        yield ports
    finally:
        running.terminate()
        running.wait(30)


def said(connection: HTTPConnection) -> str:
    """For whom the upstream was asked."""
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("sending", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_tells_who_the_client_is(tmp_path: Path, proxy: WholeProxy, require_tool: RequireTool, sending: str):
    program = require_tool("haproxy", "haproxy")
    with haproxy(program, tmp_path, proxy, sending) as (plain, secure):
        context: ssl.SSLContext = OURS.trusting()
        for _ in range(3):
            assert said(HTTPConnection("127.0.0.1", plain, timeout=30, source_address=(CLIENT, 0))) == CLIENT
            secured = HTTPSConnection("localhost", secure, timeout=30, context=context, source_address=(CLIENT, 0))
            assert said(secured) == CLIENT


def test_curl_may_say_so_too(proxy: WholeProxy, require_tool: RequireTool):
    call = [require_tool("curl", "curl"), "-sS", "--noproxy", "*", "--max-time", "30", "--haproxy-protocol"]
    called = subprocess.run([*call, f"{proxy.url}/"], capture_output=True, check=True)
    assert called.stdout == b"127.0.0.1"


def test_who_says_nothing_is_closed_and_counted(proxy: WholeProxy):
    refused = "serinus_proxy_protocol_refused_total{}"
    before = proxy.metrics()[refused]
    with pytest.raises(ConnectionError):
        said(HTTPConnection(*proxy.address, timeout=30))
    wait_until(lambda: proxy.metrics()[refused] == before + 1)
