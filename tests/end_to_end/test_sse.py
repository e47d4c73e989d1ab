"""Server-sent events pass as they come, and do not hold up a drain for ever."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.whole_proxy import WholeProxy, a_service, whole_proxy

FIRST, SECOND = b"data: first\n\n", b"data: second\n\n"


class EventServer(ThreadingHTTPServer):
    """Sends one event, and the second when `go_on` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Events)
        self.go_on = threading.Event()


class _Events(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EventServer

    def do_GET(self) -> None:
        is_chunked = self.path == "/chunked"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header(*(("Transfer-Encoding", "chunked") if is_chunked else ("Connection", "close")))
        self.end_headers()
        for event, is_last in ((FIRST, False), (SECOND, True)):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event) if is_chunked else event)
            if not is_last:
                self.server.go_on.wait(30)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[EventServer]:
    with EventServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(upstream: EventServer, tmp_path: Path) -> Iterator[WholeProxy]:
    tree = a_service(
        {"v1": f"127.0.0.1:{upstream.server_port}"}, {"v1": 1}, drain={"timeout": "300ms", "jitter": "100ms"}
    )
    with whole_proxy(tmp_path, tree) as running:
        yield running


@contextmanager
def stream(proxy: WholeProxy, path: str) -> Iterator[HTTPResponse]:
    connection = HTTPConnection(*proxy.address, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    try:
        yield response
    finally:
        response.close()
        connection.close()


@pytest.mark.parametrize("path", ["/chunked", "/until-close"])
def test_the_first_event_arrives_before_the_second_is_sent(proxy: WholeProxy, upstream: EventServer, path: str):
    with stream(proxy, path) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.read1(100) == FIRST
        assert not upstream.go_on.is_set()
        upstream.go_on.set()
        assert response.read() == SECOND


def test_a_stream_of_a_draining_endpoint_gets_a_deadline(proxy: WholeProxy, upstream: EventServer):
    with stream(proxy, "/until-close") as response:
        assert response.read1(100) == FIRST
        proxy.admin.set_endpoint_state("shop", "v1", f"127.0.0.1:{upstream.server_port}", "drain")
        with pytest.raises(ConnectionError):
            response.read()
        assert not upstream.go_on.is_set()
