"""Server-sent events pass as they come, end with the client, and do not hold up a drain for ever."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

FIRST = b"data: first\n\n"
EVENTS = [b"id: %d\ndata: %b\n\n" % (i, b"x" * (i * 50)) for i in range(100)]


class EventServer(ThreadingHTTPServer):
    """Sends one event, and then whatever is put into `events`, until an empty one.

    A client that only ends its side may still read: the proxy notices that it left when the next event goes nowhere.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Events)
        self.events: queue.Queue[bytes] = queue.Queue()
        self.last_ids: list[str | None] = []
        self.left = threading.Event()


class _Events(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EventServer

    def do_GET(self) -> None:
        self.server.last_ids.append(self.headers["Last-Event-ID"])
        self._chunked = self.path == "/chunked"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header(*(("Transfer-Encoding", "chunked") if self._chunked else ("Connection", "close")))
        self.end_headers()
        self._say(FIRST)
        while event := self.server.events.get():
            self._say(event)
        if self._chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _say(self, event: bytes) -> None:
        try:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event) if self._chunked else event)
        except ConnectionError:
            self.server.left.set()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[EventServer]:
    with EventServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.events.put(b"")
        server.shutdown()
        thread.join()


def serving(upstream: EventServer, **parts: object) -> dict[str, object]:
    return a_service({"v1": f"127.0.0.1:{upstream.server_port}"}, {"v1": 1}, **parts)


@pytest.fixture
def proxy(upstream: EventServer, tmp_path: Path) -> Iterator[WholeProxy]:
    with whole_proxy(tmp_path, serving(upstream, drain={"timeout": "300ms", "jitter": "100ms"})) as running:
        yield running


@contextmanager
def stream(proxy: WholeProxy, path: str, **headers: str) -> Iterator[HTTPResponse]:
    connection = HTTPConnection(*proxy.address, timeout=30)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    try:
        yield response
    finally:
        response.close()
        connection.close()


def take(response: HTTPResponse, size: int) -> bytes:
    """So many bytes, without waiting for any more."""
    taken = b""
    while len(taken) < size:
        more = response.read1(size - len(taken))
        assert more, taken
        taken += more
    return taken


@pytest.mark.parametrize("path", ["/chunked", "/until-close"])
def test_each_event_arrives_before_the_next_is_sent(proxy: WholeProxy, upstream: EventServer, path: str):
    with stream(proxy, path, Accept="text/event-stream") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert take(response, len(FIRST)) == FIRST
        for event in EVENTS:
            upstream.events.put(event)
            assert take(response, len(event)) == event
        upstream.events.put(b"")
        assert response.read() == b""


def test_a_client_that_comes_back_says_what_it_has_seen(proxy: WholeProxy, upstream: EventServer):
    upstream.events.put(b"")
    with stream(proxy, "/chunked", Last_Event_ID="41") as response:
        assert response.read() == FIRST
        assert upstream.last_ids == ["41"]


def test_a_client_that_leaves_ends_the_stream_at_the_upstream(proxy: WholeProxy, upstream: EventServer):
    with stream(proxy, "/chunked") as response:
        assert take(response, len(FIRST)) == FIRST
    upstream.events.put(EVENTS[1])

    def has_left() -> bool:
        upstream.events.put(EVENTS[1])
        return upstream.left.is_set()

    wait_until(has_left, "for the upstream to see that nobody listens")


def test_a_stream_that_is_silent_for_longer_than_idle_is_cut_off(upstream: EventServer, tmp_path: Path):
    tree = serving(upstream, timeouts={"idle": "200ms"})
    with whole_proxy(tmp_path, tree) as proxy, stream(proxy, "/chunked") as response:
        assert take(response, len(FIRST)) == FIRST
        with pytest.raises(ConnectionError):
            response.read()
        cut = "serinus_errors_total{reason=response_idle_timeout,service=shop,version=v1}"
        wait_until(lambda: proxy.metrics().get(cut) == 1)


def test_a_stream_of_a_draining_endpoint_gets_a_deadline(proxy: WholeProxy, upstream: EventServer):
    """It does not look whole then: an EventSource comes back."""
    with stream(proxy, "/until-close") as response:
        assert take(response, len(FIRST)) == FIRST
        proxy.admin.set_endpoint_state("shop", "v1", f"127.0.0.1:{upstream.server_port}", "drain")
        with pytest.raises(ConnectionError):
            response.read()


def test_a_stream_of_a_proxy_that_stops_goes_on_until_the_end_of_the_drain(upstream: EventServer, tmp_path: Path):
    with whole_proxy(tmp_path, {**serving(upstream), "drain_timeout": "2s"}) as proxy:
        with stream(proxy, "/chunked") as response:
            assert take(response, len(FIRST)) == FIRST
            proxy.program.terminate()
            wait_until(lambda: not proxy.admin.is_well("/readyz"))
            upstream.events.put(EVENTS[3])
            assert take(response, len(EVENTS[3])) == EVENTS[3]
            with pytest.raises(ConnectionError):
                response.read()
        assert proxy.program.wait(30) == 0
