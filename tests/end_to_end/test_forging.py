"""What a stranger sends stays out of the metrics and of the log of the proxy."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, whole_proxy

LIE = b'forged"} 1 serinus_forged{x="\xff'


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[WholeProxy]:
    with named_upstreams("v1") as places, whole_proxy(tmp_path, a_service(places, {"v1": 1})) as running:
        yield running


def answer_to(address: tuple[str, int], request: bytes) -> bytes:
    """All that comes back."""
    with socket.create_connection(address, timeout=30) as client, client.makefile("rb") as received:
        client.sendall(request)
        return received.read()


def test_no_request_gets_a_word_into_the_metrics_or_a_traceback_into_the_log(proxy: WholeProxy):
    host, _, port = proxy.admin_address.rpartition(":")
    for request, status in (
        (b"FORGED /forged?%22%7D%0A HTTP/1.1\r\nHost: forged.example\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: " + LIE + b"\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: \nforged\r\n\r\n", b"400"),
    ):
        assert answer_to(proxy.address, request).split(b" ")[1] == status
    assert answer_to((host, int(port)), b"GET / HTTP/1.1\r\nHost: x\r\nX: \0\nforged\r\n\r\n").split(b" ")[1] == b"400"

    assert "forged" not in proxy.ask_admin("/metrics").lower()
    assert "forged" not in proxy.log.lower()
    assert "Traceback" not in proxy.log
