"""An upstream in a thread of the test, with knobs: how it is, what it answers, and whether it answers at all yet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class KnobbedUpstream(ThreadingHTTPServer):
    """Answers /healthz as `is_healthy` says, and everything else with `status` and its name while `gate` is open."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.name = name
        self.address = f"127.0.0.1:{self.server_port}"
        self.is_healthy = True
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()
        self.probes: list[int] = []  # the statuses that were answered
        self.requests = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error."""


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write
    server: KnobbedUpstream

    def do_GET(self) -> None:
        upstream = self.server
        if self.path == "/healthz":
            status = 200 if upstream.is_healthy else 503
            upstream.probes.append(status)
        else:
            upstream.requests += 1
            upstream.gate.wait()
            status = upstream.status
        self.send_response(status)
        self.send_header("Content-Length", str(len(upstream.name)))
        self.end_headers()
        self.wfile.write(upstream.name.encode())

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def knobbed_upstreams(*names: str) -> Iterator[list[KnobbedUpstream]]:
    """Run them for the length of the block."""
    upstreams = [KnobbedUpstream(name) for name in names]
    threads = [threading.Thread(target=upstream.serve_forever, args=(0.05,)) for upstream in upstreams]
    for thread in threads:
        thread.start()
    try:
        yield upstreams
    finally:
        for upstream, thread in zip(upstreams, threads, strict=True):
            upstream.gate.set()
            upstream.shutdown()
            thread.join()
            upstream.server_close()
