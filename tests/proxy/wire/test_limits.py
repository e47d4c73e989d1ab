"""Limits: each at its value and one beyond, each with its status and its word. What is refused takes no memory."""

import pytest

from tests.support.peers import Peer, cuts, head
from tests.support.stage import GET, OK, Counts, Stage, eventually

POST = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LINE = 64
HEAD = 256


def get(target: bytes = b"/", *fields: bytes) -> bytes:
    return head(b"GET " + target + b" HTTP/1.1", *fields)


def of_length(length: int) -> bytes:
    """A request whose head has so many bytes."""
    return get(b"/", b"X-A: " + b"a" * (length - len(get(b"/", b"X-A: "))))


# Heads


def test_a_request_line_of_the_limit_passes_and_one_more_is_414(stage: Stage) -> None:
    stage.limit(request_line=LINE)
    target = b"/" + b"a" * (LINE - len(b"GET / HTTP/1.1"))

    assert stage.refused(get(target + b"a")).status == 414
    assert stage.refused_in_pieces(get(target + b"a")) == {414}
    for parts in [[get(target)], *cuts(get(target))]:
        client = stage.client(unix=True).send_apart(*parts)
        side = stage.upstream.asked()
        assert side.message().line == b"GET " + target + b" HTTP/1.1"
        side.send(OK)
        assert client.message().status == 200
        client.close()


def test_what_stands_behind_a_limit_is_not_looked_at(stage: Stage) -> None:
    """So that the answer does not depend on how much of it one read brought."""
    stage.limit(request_line=LINE, head=HEAD)

    assert stage.refused_in_pieces(b"GET /" + b"a" * LINE + b" HTTP/9.9 x\r\n\r\n") == {414}
    assert stage.refused(b"GET /" + b"a" * LINE + b" HTTP/9.9 x\r\n\r\n").status == 414
    assert stage.refused_in_pieces(of_length(HEAD + 4)[:-4] + b"\0\r\n\r\n") == {431}
    assert stage.refused(of_length(HEAD + 4)[:-4] + b"\0\r\n\r\n").status == 431


def test_a_request_line_without_an_end_is_414(stage: Stage) -> None:
    assert stage.refused(b"GET /" + b"a" * 8192).status == 414
    assert stage.counts() == Counts({414: 1}, {"request_line_too_long": 1}, {})


def test_a_head_of_the_limit_passes_and_one_more_is_431(stage: Stage) -> None:
    stage.limit(head=HEAD)

    assert stage.refused(of_length(HEAD + 1)).status == 431
    assert stage.refused_in_pieces(of_length(HEAD + 1)) == {431}
    for parts in [[of_length(HEAD)], *cuts(of_length(HEAD))]:
        client = stage.client(unix=True).send_apart(*parts)
        side = stage.upstream.asked()
        side.message()
        side.send(OK)
        assert client.message().status == 200
        client.close()


def test_a_head_without_an_end_is_431(stage: Stage) -> None:
    assert stage.refused(get()[:-2] + b"X-A: " + b"a" * 32768).status == 431
    assert stage.counts() == Counts({431: 1}, {"head_too_large": 1}, {})


def test_what_follows_a_head_does_not_count_as_head(stage: Stage) -> None:
    stage.limit(head=HEAD)
    client = stage.client().send(get() * 20)
    for _ in range(20):
        side = stage.upstream.asked()
        side.message()
        side.send(OK)

    assert [client.message().status for _ in range(20)] == 20 * [200]


def test_fields_up_to_the_limit_pass_and_one_more_is_431(stage: Stage) -> None:
    stage.limit(headers=5)
    fields = [b"X-%d: 1" % i for i in range(4)]

    assert stage.refused(get(b"/", *fields, b"X-4: 1")).status == 431
    assert stage.refused_in_pieces(get(b"/", *fields, b"X-4: 1")) == {431}
    assert stage.exchange(get(b"/", *fields))[1].status == 200
    assert set(stage.counts().reasons) == {"too_many_headers"}


def test_response_heads_are_limited_too(stage: Stage) -> None:
    stage.limit(response_head=HEAD)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: "
    head += b"a" * (HEAD - len(head) - 4)

    assert stage.exchange(GET, head + b"\r\n\r\n")[1].status == 200
    _, answer = stage.exchange(GET, head + b"a\r\n\r\n")
    assert (answer.status, answer.one(b"Proxy-Status")) == (502, b"serinus; error=http_response_header_section_size")
    client, side, _ = stage.ask(GET)
    side.send(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * HEAD)
    assert client.message().status == 502
    assert stage.counts() == Counts({200: 1, 502: 2}, {"response_head_too_large": 2}, {"ok": 1, "protocol_error": 2})


# Bodies


@pytest.mark.parametrize("text", [POST + b"Content-Length: 2\r\n\r\nok", CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"])
def test_a_body_of_the_limit_passes(stage: Stage, text: bytes) -> None:
    stage.serve(body_limit=2)

    assert stage.exchange(text)[0].body == b"ok"


def test_a_length_beyond_the_limit_is_413_before_any_of_the_body(stage: Stage) -> None:
    stage.serve(body_limit=10)

    assert stage.refused(POST + b"Content-Length: 11\r\n\r\n").status == 413
    assert stage.counts() == Counts({413: 1}, {"body_too_large": 1}, {})


def test_chunks_beyond_the_limit_are_413_and_upstream_sees_no_end(stage: Stage) -> None:
    stage.serve(body_limit=10)
    client = stage.client().send(CHUNKED, b"a\r\n0123456789\r\n")
    side = stage.upstream.asked()
    side.head()
    assert side.chunk() == b"0123456789"
    client.send(b"1\r\n")
    client.send(b"x")

    assert client.message().status == 413
    assert client.rest() == b""
    assert side.end()
    assert stage.counts() == Counts({413: 1}, {"body_too_large": 1}, {"aborted": 1})


def test_what_follows_a_body_that_is_too_large_is_not_answered(stage: Stage) -> None:
    stage.serve(body_limit=10)

    answer = stage.refused(CHUNKED + b"b\r\n01234567890\r\n0\r\n\r\n" + get(b"/next"))
    assert (answer.status, answer.one(b"Connection")) == (413, b"close")


def test_a_body_that_is_too_large_is_read_for_a_while_so_that_the_answer_arrives(stage: Stage) -> None:
    stage.serve(body_limit=10)
    client = stage.client().send(POST + b"Content-Length: 1000000\r\n\r\n")
    for _ in range(100):
        client.send(bytes(10_000))

    assert client.message().status == 413
    assert client.rest() == b""


@pytest.mark.parametrize("trailers", [b"X-A: " + b"a" * 100, b"X-A: 1\r\n" * 20], ids=["one long", "many"])
def test_trailers_are_limited(stage: Stage, trailers: bytes) -> None:
    stage.limit(trailers=100)

    assert stage.refused(CHUNKED + b"0\r\n" + trailers + b"\r\n\r\n").status == 400
    assert stage.exchange(CHUNKED + b"0\r\nX-A: 1\r\n\r\n")[0].trailers == ((b"X-A", b"1"),)
    client, side, _ = stage.ask(GET)
    side.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + trailers + b"\r\n\r\n")
    assert client.end() == "reset"


# Connections


def open_clients(stage: Stage, count: int, source: str = "127.0.0.1") -> list[Peer]:
    """So many connections, each one known to the worker."""
    before = stage.gauges()["clients"]
    clients = [stage.client(source=source) for _ in range(count)]
    eventually(lambda: stage.gauges()["clients"] == before + count)
    return clients


def assert_turned_away(client: Peer) -> None:
    answer = client.message()
    assert (answer.status, answer.one(b"Connection")) == (503, b"close")
    assert answer.one(b"Proxy-Status") == b"serinus; error=connection_limit_reached"
    assert answer.body.startswith(b"503 Service Unavailable: There are too many connections.")
    assert client.end()


def test_one_connection_more_than_the_limit_is_told_503_and_closed(stage: Stage) -> None:
    stage.limit(connections=3)
    clients = open_clients(stage, 3)
    refused = stage.worker.slab.read_worker()["refused"]
    assert_turned_away(stage.client())
    assert_turned_away(stage.client().send(GET))

    assert stage.worker.slab.read_worker()["refused"] == refused + 2
    assert stage.exchange(GET, client=clients[2])[1].status == 200
    clients[0].close()
    eventually(lambda: stage.gauges()["clients"] == 2)
    assert stage.exchange(GET)[1].status == 200


def test_connections_that_are_idle_make_room_the_newest_first_and_none_that_is_busy_does(stage: Stage) -> None:
    stage.limit(connections=3)
    busy, asked, _ = stage.ask(GET)
    idle = [stage.client() for _ in range(2)]
    for client in idle:
        assert stage.exchange(GET, client=client)[1].status == 200

    assert stage.exchange(GET)[1].status == 200
    assert [client.end() for client in idle] == ["closed", "closed"]  # a few go at once: looking for them is not free
    asked.send(OK)
    assert busy.message().status == 200


def test_each_client_has_a_limit_of_its_own(stage: Stage) -> None:
    stage.limit(connections_per_client=2)
    clients = open_clients(stage, 2)
    assert_turned_away(stage.client())
    others = open_clients(stage, 2, "127.0.0.2")
    assert_turned_away(stage.client(source="127.0.0.2"))

    clients[0].close()
    eventually(lambda: stage.gauges()["clients"] == 3)
    assert stage.exchange(GET)[1].status == 200
    assert_turned_away(stage.client(source="127.0.0.2"))
    assert stage.exchange(GET, client=others[0])[1].status == 200


def test_a_limit_for_each_client_counts_the_connections_from_before_it(stage: Stage) -> None:
    early = open_clients(stage, 2)
    stage.limit(connections_per_client=2)
    assert_turned_away(stage.client())
    early[0].close()
    eventually(lambda: stage.gauges()["clients"] == 1)
    open_clients(stage, 1)

    assert_turned_away(stage.client())
