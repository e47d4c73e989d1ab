"""What two parsers that are not ours read in a message: h11, and llhttp through httptools."""

from typing import Any, NamedTuple

import h11
import httptools

from tests.support.peers import Pair


class Read(NamedTuple):
    """One message. `rest`: what stands behind its end."""

    start: bytes
    fields: list[Pair]
    body: bytes
    trailers: list[Pair]
    rest: bytes = b""


def asking_h11(method: bytes) -> h11.Connection:
    """A client that has sent a request."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    reader.send(h11.EndOfMessage())
    return reader


def read_by_h11(text: bytes, asked: bytes | None = None, *, closed: bool = False) -> Read:
    """A request, or the final response to a request with the method `asked`. `closed`: nothing follows."""
    reader = asking_h11(asked) if asked else h11.Connection(h11.SERVER)
    reader.receive_data(text)
    if closed:
        reader.receive_data(b"")
    head = reader.next_event()
    while isinstance(head, h11.InformationalResponse):
        head = reader.next_event()
    if isinstance(head, h11.Request):
        start = head.method + b" " + head.target + b" HTTP/" + head.http_version
    else:
        assert isinstance(head, h11.Response), head
        start = b"HTTP/%b %d %b" % (head.http_version, head.status_code, head.reason)
    body = b""
    while isinstance(event := reader.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    return Read(start, list(head.headers.raw_items()), body, list(event.headers.raw_items()), reader.trailing_data[0])


class _Collector:
    """What httptools says of the last message."""

    def __init__(self) -> None:
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.url = self.reason = self.body = b""
        self.fields: list[Pair] = []
        self.trailers: list[Pair] = []
        self.lines = self.fields
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.lines = self.trailers

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.is_whole = True


def read_by_httptools(text: bytes, *, response: bool = False, closed: bool = False) -> Read:
    """As `read_by_h11`, for methods that it knows, and for responses that are not to HEAD."""
    collector = _Collector()
    parser: Any = (httptools.HttpResponseParser if response else httptools.HttpRequestParser)(collector)
    rest = b""
    try:
        parser.feed_data(text)
    except httptools.HttpParserUpgrade as upgrade:
        rest = text[upgrade.args[0] :]
    assert collector.is_whole or closed
    version = b"HTTP/" + parser.get_http_version().encode()
    if response:
        start = version + b" %d " % parser.get_status_code() + collector.reason
    else:
        start = parser.get_method() + b" " + collector.url + b" " + version
    return Read(start, collector.fields, collector.body, collector.trailers, rest)
