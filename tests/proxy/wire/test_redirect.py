"""A listener that sends everybody to https."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.peers import Peer


@pytest.fixture(scope="module", params=["https", "https:8443", "https:443"])
def place(request: pytest.FixtureRequest) -> Iterator[tuple[OneWorker, bytes]]:
    """A worker that redirects, and the port that it names."""
    named = b":8443" if request.param == "https:8443" else b""
    with one_worker(service([[1]]), redirect=request.param) as worker:
        yield worker, named


@pytest.mark.parametrize(
    ("asked", "host", "target"),
    [
        (b"GET /a/b?c=%20d HTTP/1.1\r\nHost: shop.example.com\r\n", b"shop.example.com", b"/a/b?c=%20d"),
        (b"POST / HTTP/1.1\r\nHost: shop.example.com:8080\r\nContent-Length: 0\r\n", b"shop.example.com", b"/"),
        (b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n", b"[::1]", b"/"),
        (b"GET http://Shop.example.com:80?x HTTP/1.1\r\nHost: shop.example.com:80\r\n", b"Shop.example.com", b"/?x"),
    ],
)
def test_the_same_is_found_at_https(place: tuple[OneWorker, bytes], asked: bytes, host: bytes, target: bytes):
    worker, port = place
    client = Peer.connect(worker.address).send(asked + b"\r\n")
    answer = client.message()
    assert (answer.status, answer.one(b"Location")) == (308, b"https://" + host + port + target)
    client.send(asked + b"\r\n")  # the connection goes on
    assert client.message().status == 308
    client.close()


def test_who_names_no_host_is_told_that_it_is_needed(place: tuple[OneWorker, bytes]):
    client = Peer.connect(place[0].address).send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.message().status == 400
    client.close()


def test_a_body_that_comes_with_it_is_not_taken_for_a_request(place: tuple[OneWorker, bytes]):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\n"
    client = Peer.connect(place[0].address).send(head, b"GET /x HTTP/1.1\r\nHost: b\r\n\r\n")
    assert client.message().status == 308
    assert client.end() == "closed"
    client.close()
