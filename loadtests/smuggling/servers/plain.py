"""Python's http.server: `python -m loadtests.smuggling.servers.plain PORT`.

It reads chunked bodies by itself, because the library does not.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from loadtests.smuggling.servers import recording


class Recorder(BaseHTTPRequestHandler):
    """Answers every method. What it does not read of a body it leaves behind with the connection."""

    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        is_early = "/early/" in self.path
        body = None if is_early else self._read()
        fields = {name.lower(): value for name, value in self.headers.items()}
        said = recording.note(self.command, self.path, fields, self.client_address[1], body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        if is_early:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    def _read(self) -> int:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return len(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        length = 0
        while size := int(self.rfile.readline(), 16):
            length += len(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        return length

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """The library refuses a request by this."""
        recording.note_refused(f"{code} {message}", self.client_address[1])
        super().send_error(code, message, explain)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Takes it calmly that a client goes away in the middle of a body."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The library tells of an exception by this."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ValueError)):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Recorder).serve_forever()
