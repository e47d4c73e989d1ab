"""Timeouts: each ends what it is about, with its own word, and nothing else.

No test here asserts how long something takes: whoever must be waited for never comes.
"""

import select
import socket
from collections.abc import Iterator

import pytest

from proxy.core.snapshot import Retries, Timeouts
from tests.support.peers import Peer, Upstream
from tests.support.stage import GET, OK, Counts, Stage, eventually

SOON = 0.2
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(60_000)


def drip(peer: Peer, text: bytes) -> None:
    """Send this again and again, slowly, until the other side has something to say."""
    while not select.select([peer.sock], [], [], 0.02)[0]:
        peer.send(text)


def is_left_alone(stage: Stage) -> bool:
    return stage.gauges()["clients"] == 0


# Heads


def test_a_connection_that_asks_nothing_is_closed_without_a_word(stage: Stage) -> None:
    stage.limit(head_timeout=SOON)
    silent, empty = stage.client(), stage.client().send(b"\r\n")

    assert silent.rest() == b""
    assert empty.rest() == b""
    assert stage.counts() == Counts({}, {}, {})


@pytest.mark.parametrize("text", [b"G", b"GET / HTTP/1.1\r\n", GET[:-2], GET[:-1]])
def test_a_head_that_does_not_end_is_408(stage: Stage, text: bytes) -> None:
    stage.limit(head_timeout=SOON)
    client = stage.client().send(text)
    answer = client.message()

    assert (answer.status, answer.one(b"Connection")) == (408, b"close")
    assert client.rest() == b""
    assert stage.counts() == Counts({408: 1}, {"head_timeout": 1}, {})


def test_a_head_has_its_time_as_a_whole(stage: Stage) -> None:
    stage.limit(head_timeout=SOON)
    client = stage.client().send(GET[:-2])
    drip(client, b"X-A: 1\r\n")

    assert client.message().status == 408


def test_every_head_of_a_connection_has_its_time_as_a_whole(stage: Stage) -> None:
    stage.limit(head_timeout=SOON)
    client = stage.client()
    for _ in range(2):
        stage.exchange(GET, client=client)
    client.send(GET[:-2])
    drip(client, b"X-A: 1\r\n")

    assert client.message().status == 408
    assert stage.counts() == Counts({200: 2, 408: 1}, {"head_timeout": 1}, {"ok": 2})


def test_a_head_behind_another_request_has_its_time_from_its_turn(stage: Stage) -> None:
    stage.limit(head_timeout=SOON)
    client, side, _ = stage.ask(GET + GET[:-2])
    side.send(OK)

    assert [client.message().status for _ in range(2)] == [200, 408]


def test_a_connection_that_asks_nothing_more_is_closed_without_a_word(stage: Stage) -> None:
    stage.limit(keepalive_timeout=SOON)
    client = stage.client()
    stage.exchange(GET, client=client)

    assert client.rest() == b""
    assert stage.counts() == Counts({200: 1}, {}, {"ok": 1})


def test_a_refused_client_that_does_not_leave_is_left(stage: Stage) -> None:
    client = stage.client().send(b"GET\r\n")
    assert client.message().status == 400
    assert client.rest() == b""

    eventually(lambda: is_left_alone(stage))


# Request bodies


@pytest.mark.parametrize(
    "text", [b"Content-Length: 5\r\n\r\nhell", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"]
)
def test_a_body_that_does_not_end_is_408_and_upstream_sees_no_end(stage: Stage, text: bytes) -> None:
    stage.limit(body_timeout=SOON)
    client = stage.client().send(POST + text)
    side = stage.upstream.asked()
    with pytest.raises(ConnectionError):
        side.message()

    assert client.message().status == 408
    assert client.rest() == b""
    assert stage.counts() == Counts({408: 1}, {"body_timeout": 1}, {"aborted": 1})


def test_a_body_that_does_not_come_after_100_is_408(stage: Stage) -> None:
    stage.limit(body_timeout=SOON)
    client = stage.client().send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    side = stage.upstream.asked()
    side.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    assert [client.message().status for _ in range(2)] == [100, 408]
    assert stage.counts() == Counts({408: 1}, {"body_timeout": 1}, {"aborted": 1})


def test_who_waits_for_100_is_not_late(stage: Stage) -> None:
    stage.limit(body_timeout=SOON)
    stage.serve(timeouts=Timeouts(response=3 * SOON))
    client = stage.client().send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")

    assert client.message().status == 504
    assert stage.counts() == Counts({504: 1}, {"response_timeout": 1}, {"timeout": 1})


def test_the_rest_of_a_body_that_was_answered_early_may_not_take_for_ever(stage: Stage) -> None:
    stage.limit(body_timeout=SOON)
    client = stage.client().send(POST + b"Content-Length: 5\r\n\r\n")
    side = stage.upstream.asked()
    side.send(OK)

    assert client.message().status == 200
    assert client.rest() == b""
    assert stage.counts() == Counts({200: 1}, {}, {"ok": 1})


def test_who_cannot_send_because_the_endpoint_is_not_there_yet_is_not_late(stage: Stage, blackhole: Upstream) -> None:
    stage.limit(body_timeout=SOON)
    stage.serve(blackhole, timeouts=Timeouts(connect=3 * SOON), retries=Retries(attempts=0))
    client = stage.client().send(POST + b"Content-Length: 5\r\n\r\nhell")

    assert client.message().status == 504
    assert stage.counts() == Counts({504: 1}, {"connect_timeout": 1}, {"connect_error": 1})


# Slow readers


def test_a_client_that_reads_nothing_is_cut_off(stage: Stage) -> None:
    stage.limit(write_timeout=SOON)
    client = stage.client(narrow=True)
    _, side, _ = stage.ask(GET, client)
    side.send(LARGE)
    eventually(lambda: is_left_alone(stage))

    assert client.end() == "reset"
    assert side.end()
    assert stage.counts() == Counts({200: 1}, {"write_timeout": 1}, {"aborted": 1})


def test_a_client_that_goes_on_sending_but_reads_nothing_is_cut_off(stage: Stage) -> None:
    stage.limit(write_timeout=SOON)
    client = stage.client(narrow=True).send(POST + b"Content-Length: 5\r\n\r\nhell")
    side = stage.upstream.asked()
    side.send(LARGE)
    eventually(lambda: not side.has_unread())
    client.send(b"o")
    eventually(lambda: is_left_alone(stage))

    assert client.end() == "reset"
    assert stage.counts() == Counts({200: 1}, {"write_timeout": 1}, {"aborted": 1})


def test_a_client_that_never_reads_the_end_must_not_take_it_for_the_end(stage: Stage) -> None:
    """The upstream is done with it: an HTTP/1.0 client tells the end of such a body by the end of the connection."""
    stage.limit(write_timeout=SOON)
    client = stage.client(narrow=True).send(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
    side = stage.upstream.asked()
    side.send(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(60_000))
    side.close()
    eventually(lambda: is_left_alone(stage))

    assert client.end() == "reset"


# Endpoints


@pytest.fixture
def blackhole() -> Iterator[Upstream]:
    """An endpoint whose queue of connections is full: a new one is neither taken nor refused."""
    upstream = Upstream(backlog=0)
    fill = []
    while True:
        fill.append(socket.socket())
        fill[-1].setblocking(False)
        fill[-1].connect_ex(("127.0.0.1", upstream.port))
        if not select.select([], [fill[-1]], [], 0.1)[1]:
            break
    yield upstream
    for sock in fill:
        sock.close()
    upstream.close()


def test_an_endpoint_that_does_not_take_the_connection_is_504(stage: Stage, blackhole: Upstream) -> None:
    stage.serve(blackhole, timeouts=Timeouts(connect=SOON), retries=Retries(attempts=0))
    answer = stage.client().send(GET).message()

    assert (answer.status, answer.one(b"Proxy-Status")) == (504, b"serinus; error=connection_timeout")
    assert stage.counts() == Counts({504: 1}, {"connect_timeout": 1}, {"connect_error": 1})


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_an_endpoint_that_does_not_answer_is_504(stage: Stage, begun: bytes) -> None:
    stage.serve(timeouts=Timeouts(response=SOON))
    client, side, _ = stage.ask(GET)
    side.send(begun)
    answer = client.message()
    if answer.status == 103:
        answer = client.message()

    assert (answer.status, answer.one(b"Proxy-Status")) == (504, b"serinus; error=http_response_timeout")
    assert side.end()
    assert stage.counts() == Counts({504: 1}, {"response_timeout": 1}, {"timeout": 1})


def test_a_response_head_has_its_time_as_a_whole(stage: Stage) -> None:
    stage.serve(timeouts=Timeouts(response=SOON))
    client, side, _ = stage.ask(GET)
    side.send(b"HTTP/1.1 200 OK\r\n")
    drip(side, b"X-A: 1\r\n")

    assert client.message().status == 504
    assert stage.counts().reasons == {"response_timeout": 1}


@pytest.mark.parametrize("text", [LARGE, CHUNKED, b"HTTP/1.1 200 OK\r\n\r\nx"])
def test_a_response_that_stops_in_its_body_is_cut_off(stage: Stage, text: bytes) -> None:
    stage.serve(timeouts=Timeouts(idle=SOON))
    client, side, _ = stage.ask(GET)
    side.send(text)
    assert client.head().status == 200

    assert client.end() == "reset"
    assert side.end()
    assert stage.counts() == Counts({200: 1}, {"response_idle_timeout": 1}, {"timeout": 1})


def test_an_idle_connection_to_an_endpoint_is_closed(stage: Stage) -> None:
    stage.serve(timeouts=Timeouts(keepalive=SOON))
    client = stage.client()
    stage.exchange(GET, client=client)

    assert stage.upstream.peers[0].end() == "closed"
    eventually(lambda: stage.gauges()["connections to endpoints"] == 0)
    stage.upstream.peers[0].close()
    assert stage.exchange(GET, client=client)[1].status == 200


# The whole


def test_the_total_includes_the_wait_for_a_connection(stage: Stage, blackhole: Upstream) -> None:
    stage.serve(blackhole, timeouts=Timeouts(total=SOON, connect=20.0))

    assert stage.client().send(GET).message().status == 504
    assert stage.counts() == Counts({504: 1}, {"total_timeout": 1}, {"timeout": 1})


def test_the_total_includes_the_wait_for_an_answer(stage: Stage) -> None:
    stage.serve(timeouts=Timeouts(total=SOON))

    client, side, _ = stage.ask(GET)
    assert client.message().status == 504
    assert side.end()
    assert stage.counts() == Counts({504: 1}, {"total_timeout": 1}, {"timeout": 1})


def test_the_total_includes_the_request(stage: Stage) -> None:
    stage.serve(timeouts=Timeouts(total=SOON))
    client = stage.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    drip(client, b"1\r\nx\r\n")

    assert client.message().status == 504
    assert stage.counts() == Counts({504: 1}, {"total_timeout": 1}, {"timeout": 1})


def test_the_total_includes_the_response(stage: Stage) -> None:
    stage.serve(timeouts=Timeouts(total=SOON))
    client, side, _ = stage.ask(GET)
    side.send(CHUNKED)
    drip(side, b"1\r\nx\r\n")

    assert client.head().status == 200
    assert client.end() == "reset"
    assert stage.counts() == Counts({200: 1}, {"total_timeout": 1}, {"timeout": 1})


def test_the_total_includes_the_wait_for_the_client(stage: Stage) -> None:
    stage.serve(timeouts=Timeouts(total=SOON))
    client = stage.client(narrow=True)
    _, side, _ = stage.ask(GET, client)
    side.send(LARGE)
    eventually(lambda: is_left_alone(stage))

    assert client.end() == "reset"
    assert stage.counts() == Counts({200: 1}, {"total_timeout": 1}, {"timeout": 1})


def test_the_total_includes_the_wait_for_another_request_to_end(stage: Stage) -> None:
    client, side, _ = stage.ask(GET)
    stage.serve(limit=1, timeouts=Timeouts(total=SOON, queue=20.0))
    assert stage.client().send(GET).message().status == 504
    side.send(OK)

    assert client.message().status == 200
    assert stage.counts().reasons == {"total_timeout": 1}


def test_after_the_total_nothing_is_tried_again(stage: Stage) -> None:
    other = stage.new_upstream()
    stage.serve(stage.upstream, other, timeouts=Timeouts(total=SOON), retries=Retries(on=frozenset({"timeout"})))

    assert stage.client().send(GET).message().status == 504
    assert stage.counts() == Counts({504: 1}, {"total_timeout": 1}, {"timeout": 1})
