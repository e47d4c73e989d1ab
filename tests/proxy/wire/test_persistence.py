"""How long connections live, on both sides: keep-alive, pipelining, half-close, and ends of idle connections."""

import os
import signal

import pytest

from tests.support.peers import head
from tests.support.stage import GET, OK, Counts, Stage, eventually

GET_1_0 = b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello"


def request(path: bytes, *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return head(b"%b %b HTTP/%b" % (method, path, version), *fields)


# Clients


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (request(b"/"), []),
        (request(b"/", b"Connection: keep-alive"), []),
        (request(b"/", b"Connection: TE", b"TE: trailers"), []),
        (request(b"/", b"Connection: Keep-Alive", version=b"1.0"), [b"keep-alive"]),
    ],
)
def test_connections_of_clients_persist(stage: Stage, text: bytes, says: list[bytes]) -> None:
    client = stage.client()
    for _ in range(3):
        _, answer = stage.exchange(text, client=client)
        assert answer.all(b"Connection") == says

    assert len(stage.upstream.peers) == 1
    assert stage.counts() == Counts({200: 3}, {}, {"ok": 3})


@pytest.mark.parametrize(
    "text",
    [
        request(b"/", b"Connection: close"),
        request(b"/", b"Connection: x, CLOSE"),
        request(b"/", b"Connection: keep-alive, close"),
        request(b"/", version=b"1.0"),
        request(b"/", b"Connection: close", version=b"1.0"),
    ],
)
def test_connections_of_clients_that_want_it_are_closed(stage: Stage, text: bytes) -> None:
    client = stage.client()
    _, answer = stage.exchange(text, client=client)

    assert answer.all(b"Connection") == [b"close"]
    assert client.rest() == b""


def test_what_follows_a_request_to_close_is_not_answered(stage: Stage) -> None:
    client = stage.client()
    stage.exchange(request(b"/", b"Connection: close") + request(b"/x"), client=client)

    assert client.rest() == b""
    assert stage.counts().requests == {200: 1}


# Pipelining


def test_a_hundred_requests_in_one_write_are_answered_in_order(stage: Stage) -> None:
    client = stage.client().send(b"".join(request(b"/%d" % i) for i in range(100)))
    side = stage.upstream.accept()
    for i in range(100):
        assert side.message().line == b"GET /%d HTTP/1.1" % i
        assert not side.has_more()
        side.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(str(i)), i))

    assert [client.message().body for _ in range(100)] == [b"%d" % i for i in range(100)]
    assert len(stage.upstream.peers) == 1
    assert stage.counts() == Counts({200: 100}, {}, {"ok": 100})


def test_more_requests_than_one_read_takes_are_answered_in_order(stage: Stage) -> None:
    count = 2000  # 128 KiB, where one read of requests takes 64
    client = stage.client().send(b"".join(request(b"/%020d" % i) for i in range(count)))
    side = stage.upstream.accept()
    for i in range(count):
        assert side.head().line == b"GET /%020d HTTP/1.1" % i
        side.send(OK)

    assert [client.message().status for _ in range(count)] == [200] * count
    assert stage.counts() == Counts({200: count}, {}, {"ok": count})


def test_requests_ahead_of_their_turn_are_answered_in_order_whatever_they_are(stage: Stage) -> None:
    asterisk = b"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n"
    chunked = request(b"/4", b"Transfer-Encoding: chunked", method=b"PUT") + b"2\r\nok\r\n0\r\n\r\n"
    client = stage.client().send(
        asterisk + request(b"/1", method=b"HEAD") + asterisk + asterisk + POST + chunked + request(b"/5") + asterisk
    )
    bodies = []
    for _ in range(4):
        side = stage.upstream.asked()
        bodies.append(side.message().body)
        side.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert bodies == [b"", b"hello", b"ok", b""]
    assert [client.message().status for _ in range(8)] == [204, 200, 204, 204, 200, 200, 200, 204]
    assert stage.counts() == Counts({200: 4, 204: 4}, {}, {"ok": 4})


def test_an_invalid_request_does_not_take_the_valid_ones_before_it(stage: Stage) -> None:
    client = stage.client().send(
        request(b"/1") + request(b"/2") + b"GET / HTTP/1.1\r\nHost : x\r\n\r\n" + request(b"/3")
    )
    for _ in range(2):
        side = stage.upstream.asked()
        side.message()
        assert not client.has_more()
        side.send(OK)
        assert client.message().status == 200

    assert client.message().status == 400
    assert client.rest() == b""
    assert stage.counts() == Counts({200: 2, 400: 1}, {"bad_request": 1}, {"ok": 2})


def test_nothing_is_read_ahead_while_a_response_is_on_its_way(stage: Stage) -> None:
    """What a client sends ahead must not take memory: it stays with the kernel, and then with the client."""
    client, side, _ = stage.ask(GET)
    assert client.send_until_full(GET * 1000) < 20_000_000
    side.send(OK)
    assert client.message().status == 200
    client.reset()


# Half-close


def test_who_sends_nothing_more_still_gets_the_answer(stage: Stage) -> None:
    client, side, _ = stage.ask(GET)
    client.end_sending()
    side.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
    assert client.head().status == 200
    side.send(b"llo")

    assert client.rest() == b"hello"
    assert stage.counts() == Counts({200: 1}, {}, {"ok": 1})


def test_all_requests_before_the_end_are_answered(stage: Stage) -> None:
    client = stage.client().send(request(b"/1") + POST + request(b"/3") + b"GET /unfinished")
    client.end_sending()
    for _ in range(3):
        side = stage.upstream.asked()
        side.message()
        side.send(OK)

    assert [client.message().status for _ in range(3)] == [200, 200, 200]
    assert client.rest() == b""
    assert stage.counts() == Counts({200: 3}, {}, {"ok": 3})


@pytest.mark.parametrize("text", [b"", b"\r", b"\r\n", b"GET", GET[:-2]])
def test_an_end_before_a_whole_head_is_nobodys_request(stage: Stage, text: bytes) -> None:
    client = stage.client().send(text)
    client.end_sending()

    assert client.rest() == b""
    assert stage.counts() == Counts({}, {}, {})


@pytest.mark.parametrize("text", [POST[:-1], POST[:-5], request(b"/", b"Transfer-Encoding: chunked") + b"1\r\nx\r\n"])
def test_an_end_in_a_body_ends_the_request(stage: Stage, text: bytes) -> None:
    client = stage.client().send(text)
    side = stage.upstream.asked()
    client.end_sending()
    with pytest.raises(ConnectionError):
        side.message()

    assert client.end()
    assert stage.counts() == Counts({499: 1}, {"client_closed": 1}, {"aborted": 1})


# Upstreams


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_an_upstream_that_closes_is_not_asked_again_there(stage: Stage, answer: bytes) -> None:
    client, side, _ = stage.ask(GET)
    side.send(answer)

    assert client.message().all(b"Connection") == []
    assert side.end() == "closed"
    side.close()
    assert stage.exchange(GET, client=client)[1].status == 200


def test_http_1_0_upstreams_may_keep_the_connection(stage: Stage) -> None:
    answer = b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok"
    for _ in range(3):
        assert stage.exchange(GET, answer)[1].status == 200

    assert len(stage.upstream.peers) == 1


def test_no_more_idle_connections_are_kept_than_allowed(stage: Stage) -> None:
    stage.serve(pool_idle=1)
    asked = [stage.ask(GET) for _ in range(3)]
    for client, side, _ in asked:
        side.send(OK)
        assert client.message().status == 200

    eventually(lambda: stage.gauges()["connections to endpoints"] == 1)


def test_an_idle_connection_that_ends_is_forgotten(stage: Stage) -> None:
    stage.exchange(GET)
    stage.upstream.peers[0].close()
    eventually(lambda: stage.gauges()["connections to endpoints"] == 0)

    for _ in range(2):
        assert stage.exchange(POST)[1].status == 200
    assert stage.counts() == Counts({200: 3}, {}, {"ok": 3})


@pytest.mark.parametrize("text", [GET, request(b"/", b"Content-Length: 5", method=b"PUT") + b"hello"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_safe_request_is_sent_again_when_an_idle_connection_was_over(stage: Stage, text: bytes, end: str) -> None:
    """The race between the endpoint's idle timeout and a request is nobody's failure: the attempt goes on elsewhere."""
    stage.exchange(GET)
    client = stage.client().send(text)
    first = stage.upstream.asked()
    seen = first.message()
    getattr(first, end)()
    second = stage.upstream.accept()
    assert second.message() == seen
    second.send(OK)

    assert client.message().status == 200
    assert stage.counts() == Counts({200: 2}, {}, {"ok": 2})


@pytest.mark.parametrize("end", ["close", "reset"])
def test_another_request_is_never_sent_twice(stage: Stage, end: str) -> None:
    stage.exchange(GET)
    client, side, _ = stage.ask(POST)
    getattr(side, end)()

    assert client.message().status == 502
    assert len(stage.upstream.peers) == 1
    assert stage.counts().attempts == {"ok": 1, "reset": 1}


@pytest.mark.parametrize(("fresh_after", "connections"), [(1e-9, 2), (1e6, 1), (0.0, 1)])
def test_a_request_that_must_not_be_sent_twice_avoids_a_connection_that_was_idle_for_long(
    stage: Stage, fresh_after: float, connections: int
) -> None:
    """Its end could be on its way. A safe request may still use it."""
    stage.serve(fresh_after=fresh_after)
    stage.exchange(GET)
    old = stage.upstream.peers[0]
    client, side, seen = stage.ask(POST)
    assert (len(stage.upstream.peers), side is old, seen.body) == (connections, connections == 1, b"hello")
    waiting, again, _ = stage.ask(GET)
    for peer in (side, again):
        peer.send(OK)
    assert [client.message().status, waiting.message().status] == [200, 200]
    assert (again is old) is (connections == 2)
    assert stage.counts() == Counts({200: 3}, {}, {"ok": 3})


def test_a_safe_request_is_sent_again_once(stage: Stage) -> None:
    stage.exchange(GET)
    client, side, _ = stage.ask(GET)
    side.close()
    second = stage.upstream.accept()
    second.message()
    second.close()

    assert client.message().status == 502
    assert len(stage.upstream.peers) == 2
    assert stage.counts() == Counts({200: 1, 502: 1}, {"upstream_closed": 1}, {"ok": 1, "reset": 1})


@pytest.mark.parametrize("begun", [b"HTTP/1.1 2", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_request_whose_answer_has_begun_is_not_sent_again(stage: Stage, begun: bytes) -> None:
    stage.exchange(GET)
    client, side, _ = stage.ask(GET)
    side.send(begun)
    if b"103" in begun:
        assert client.message().status == 103
    side.close()

    assert client.message().status == 502
    assert len(stage.upstream.peers) == 1


def test_bytes_that_came_while_idle_are_no_answer_to_the_next_request(stage: Stage) -> None:
    """The worker finds both at once, a request and what an upstream sent before that request could reach it."""
    client, side, _ = stage.ask(GET)
    side.send(OK)
    assert client.message().body == b"ok"
    other = stage.client()
    eventually(lambda: stage.gauges()["clients"] == 2)
    os.kill(stage.worker.program.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, stage.worker.program.pid, os.WSTOPPED)
    other.send(GET)
    side.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    os.kill(stage.worker.program.pid, signal.SIGCONT)
    assert side.end()
    side.close()
    fresh = stage.upstream.accept()
    fresh.message()
    fresh.send(OK)

    assert other.message().body == b"ok"
