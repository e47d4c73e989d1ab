"""Clients that trickle: a least rate for what they send and for what they take, over each idle timeout.

Whoever is cut here sends or reads all the time. Whoever is not has to go on over several timeouts, so these tests take
some seconds; they assert no time.
"""

import select
import time
from dataclasses import replace

import pytest

from tests.support.one_worker import OneWorker
from tests.support.peers import Peer
from tests.support.stage import GET, OK, Counts, Stage

SOON = 0.2
PATIENT = 1.5  # of a timeout in which something surely comes
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
LENGTH = POST + b"Content-Length: 1000000\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HUGE = 100_000_000  # bytes a second that nobody trickles
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + bytes(400_000)


def trickle(client: Peer, text: bytes) -> None:
    """Send this again and again until the proxy has something to say."""
    while not select.select([client.sock], [], [], 0.01)[0]:
        client.send(text)


def test_a_body_that_trickles_is_408_and_upstream_sees_no_end(stage: Stage) -> None:
    for head, piece in ((LENGTH, b"x"), (CHUNKED, b"1\r\nx\r\n")):
        stage.limit(body_timeout=SOON, client_rate=HUGE)
        client = stage.client().send(head)
        side = stage.upstream.asked()
        trickle(client, piece)
        assert client.message().status == 408
        with pytest.raises(ConnectionError):
            side.message()
    assert stage.counts() == Counts({408: 2}, {"body_timeout": 2}, {"aborted": 2})


def test_a_body_that_is_fast_enough_may_take_many_timeouts(stage: Stage) -> None:
    stage.limit(body_timeout=PATIENT, client_rate=10)
    client = stage.client().send(CHUNKED)
    side = stage.upstream.asked()
    end = time.monotonic() + 3 * PATIENT
    pieces = 0
    while time.monotonic() < end:
        client.send(b"14\r\n" + b"x" * 20 + b"\r\n")
        pieces += 1
        assert not select.select([client.sock], [], [], 0.05)[0], "it was cut off"
    client.send(b"0\r\n\r\n")

    assert side.message().body == b"x" * 20 * pieces
    side.send(OK)
    assert client.message().status == 200


def test_the_time_in_which_the_endpoint_takes_nothing_does_not_count(stage: Stage) -> None:
    """The body is there, and waits for the endpoint, which is slower than a client may be."""
    stage.limit(body_timeout=SOON, client_rate=HUGE)
    client = stage.client().send(POST + b"Content-Length: 20000000\r\n\r\n")
    side = stage.upstream.asked()
    sent = client.send_until_full(bytes(100_000))
    assert sent < 20_000_000, "somebody took it all"
    for _ in range(4):
        a_look_at_deadlines(stage.worker)

    assert not client.has_more(), "it was cut off"
    client.close()
    side.close()


def test_the_rest_of_a_body_that_nobody_wants_may_not_trickle_for_ever(stage: Stage) -> None:
    stage.limit(body_timeout=SOON)
    client = stage.client().send(POST + b"Content-Length: 100000\r\n\r\n")
    side = stage.upstream.asked()
    side.send(OK)
    assert client.message().status == 200
    trickle(client, b"x")

    assert client.end() in ("closed", "reset")


def end_of_sips(client: Peer) -> str:
    """How the connection ends of a client that takes a little now and then."""
    try:
        while client.sock.recv(100):
            time.sleep(0.005)
    except ConnectionResetError:
        return "reset"
    return "closed"


def test_a_client_that_takes_next_to_nothing_of_an_answer_is_cut_off(stage: Stage) -> None:
    stage.limit(write_timeout=SOON, client_rate=HUGE)
    client = stage.client(narrow=True).send(GET)
    side = stage.upstream.asked()
    side.send(LARGE)

    assert end_of_sips(client) == "reset"
    assert stage.counts() == Counts({200: 1}, {"write_timeout": 1}, {"aborted": 1})


def test_a_client_that_takes_enough_of_an_answer_may_take_many_timeouts(stage: Stage) -> None:
    stage.limit(write_timeout=PATIENT, client_rate=10)
    client = stage.client(narrow=True).send(GET)
    side = stage.upstream.asked()
    side.send(LARGE)
    end = time.monotonic() + 3 * PATIENT
    taken = 0
    while time.monotonic() < end and taken < len(LARGE) - 100_000:
        taken += len(client.sock.recv(400))
        time.sleep(0.02)
    assert len(client.exactly(len(LARGE) - taken)) == len(LARGE) - taken


def a_look_at_deadlines(worker: OneWorker) -> None:
    """Wait until the worker has looked through its deadlines once more."""
    before = worker.slab.read_worker()["heartbeat_ns"]
    while worker.slab.read_worker()["heartbeat_ns"] == before:
        time.sleep(0.01)


def test_off_asks_for_a_byte_in_each_timeout_and_no_more(stage: Stage) -> None:
    settings = replace(stage.worker.settings, body_timeout=PATIENT, client_rate=0)
    assert stage.worker.say("settings", settings) is None
    client = stage.client().send(LENGTH.replace(b"1000000", b"50"))
    side = stage.upstream.asked()
    for _ in range(50):
        client.send(b"x")
        assert not select.select([client.sock], [], [], 0.06)[0], "it was cut off"
    assert side.message().body == b"x" * 50
    side.send(OK)
    assert client.message().status == 200
