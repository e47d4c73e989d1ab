"""Whose turn it is while a request body is on its way, and who is told when it takes too long."""

import pytest

from proxy.core.snapshot import Timeouts
from tests.support.peers import Peer
from tests.support.stage import Stage

POST = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
ENDLESS = POST + b"Content-Length: 1000000000\r\n\r\n"


def send_until_full(peer: Peer) -> None:
    """Send until nobody takes any more for a moment."""
    peer.sock.settimeout(0.2)
    try:
        while True:
            peer.sock.send(bytes(1 << 20))
    except TimeoutError:
        peer.sock.settimeout(20)


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_body_that_never_begins_is_the_clients_fault(stage: Stage, framing: bytes) -> None:
    stage.limit(body_timeout=0.1)
    client = stage.client().send(POST + framing + b"\r\n\r\n")
    assert client.message().status == 408
    client.rest()
    assert stage.counts().reasons == {"body_timeout": 1}


def test_an_endpoint_that_reads_nothing_is_not_the_clients_fault(stage: Stage) -> None:
    stage.limit(body_timeout=0.5)
    stage.serve(timeouts=Timeouts(idle=1.0))
    client = stage.client().send(ENDLESS)
    stage.upstream.asked()
    send_until_full(client)
    assert client.message().status == 504
    assert stage.counts().attempts == {"timeout": 1}
