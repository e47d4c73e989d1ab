"""TLS played by hand from both sides of a worker: clients that shake hands, and endpoints that do."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proxy.core.snapshot import ServerTls
from tests.support.certificates import Authority
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.peers import PATIENCE, Peer, Upstream

OURS, OTHERS = Authority(), Authority()
SHOP = OURS.certificate("localhost", "shop.example.com")
API = OURS.certificate("api.example.com", "*.api.example.com")
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SIZES = [0, 1, 16383, 16384, 16385, 262144, 5_000_000]


def tls(**fields: Any) -> dict[str, Any]:
    """The settings of a worker that speaks TLS on its socket."""
    return {"tls": (ServerTls((SHOP, API), **fields),), "ticket_keys": os.urandom(80)}


@contextmanager
def serving(**settings: Any) -> Iterator[tuple[OneWorker, Upstream]]:
    upstream = Upstream()
    with one_worker(service([[upstream.port]]), **settings) as worker:
        yield worker, upstream
    upstream.close()


_opened: list[Peer] = []


def close_kept() -> None:
    """Close what was kept."""
    while _opened:
        _opened.pop().close()


def kept(peer: Peer) -> Peer:
    """This peer, closed when the test is over."""
    _opened.append(peer)
    return peer


def connect(worker: OneWorker, context: ssl.SSLContext | None = None, name: str = "localhost", **also: Any) -> Peer:
    """A client that has shaken hands. An end without close_notify is an error for it."""
    plain = socket.create_connection(worker.address, PATIENCE)
    context = context or OURS.trusting()
    return kept(Peer(context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False, **also)))


def tls_of(peer: Peer) -> ssl.SSLSocket:
    assert isinstance(peer.sock, ssl.SSLSocket)
    return peer.sock


def in_background(work: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


def accept_tls(upstream: Upstream, context: ssl.SSLContext) -> Peer:
    """The next connection at the upstream, hands shaken."""
    peer = upstream.accept()
    return kept(Peer(context.wrap_socket(peer.sock, server_side=True, suppress_ragged_eofs=False)))
