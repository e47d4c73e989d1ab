"""Responses on their way to the client: with and without bodies, interim ones, early ones, and such that end too early.

What is not whole must never look whole (RFC 9112 section 8), and a connection whose exact state is not known is not
used again.
"""

import pytest

from tests.support.peers import Message, Pair, Peer
from tests.support.stage import GET, OK, Counts, Stage, eventually

HEAD = GET.replace(b"GET", b"HEAD")
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def assert_reused(stage: Stage, client: Peer, side: Peer) -> None:
    """Both connections serve one more exchange."""
    client.send(GET)
    assert stage.upstream.asked() is side
    side.message()
    side.send(OK)
    assert client.message().body == b"ok"


def assert_closed_and_never_given_on(stage: Stage, client: Peer, side: Peer) -> None:
    """The upstream's connection ends; the client's serves one more exchange through another one."""
    assert side.end()
    side.close()
    _, answer = stage.exchange(GET, client=client)
    assert answer.body == b"ok"


# Without a body


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Content-Length: 0", b"X-A: 1"])
def test_a_response_to_head_has_no_body(stage: Stage, framing: bytes) -> None:
    client, side, seen = stage.ask(HEAD)
    side.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")

    assert seen.line == b"HEAD / HTTP/1.1"
    assert [b"%b: %b" % pair for pair in client.message(to=b"HEAD").fields] == [framing]
    assert_reused(stage, client, side)


def test_a_chunked_response_to_head_has_no_body(stage: Stage) -> None:
    client, side, _ = stage.ask(HEAD)
    side.send(CHUNKED_HEAD)

    assert client.message(to=b"HEAD").status == 200
    assert_reused(stage, client, side)


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", ()),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ()),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", ()),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ((b"Content-Length", b"5"),)),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", ()),
    ],
)
def test_204_and_304_have_no_body_whatever_they_say(stage: Stage, head: bytes, fields: tuple[Pair, ...]) -> None:
    client, side, _ = stage.ask(GET)
    side.send(head)
    answer = client.message()

    assert answer == Message(head[: head.index(b"\r\n")], fields)
    assert_reused(stage, client, side)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        (HEAD, CHUNKED_HEAD + b"5\r\nhello\r\n0\r\n\r\n"),
        (GET, b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello"),
        (GET, OK + b"!"),
        (GET, OK + b"\r\n"),
        (GET, OK + OK),
        (GET, CHUNKED_HEAD + b"2\r\nok\r\n0\r\n\r\n" + OK),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nok"),
    ],
)
def test_bytes_behind_a_response_end_its_connection(stage: Stage, request_: bytes, answer: bytes) -> None:
    client, side, _ = stage.ask(request_)
    side.send(answer)
    got = client.message(to=request_.split(b" ")[0])

    assert got.body in (b"", b"ok")
    assert_closed_and_never_given_on(stage, client, side)


def test_bytes_that_nobody_asked_for_end_an_idle_connection(stage: Stage) -> None:
    client, side, _ = stage.ask(GET)
    side.send(OK)
    assert client.message().body == b"ok"
    side.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")

    assert_closed_and_never_given_on(stage, client, side)


# Until close


def test_a_body_until_close_is_sent_in_chunks(stage: Stage) -> None:
    client, side, _ = stage.ask(GET)
    side.send(b"HTTP/1.1 200 OK\r\n\r\nfirst")
    head = client.head()
    assert client.chunk() == b"first"
    side.send(b"second")
    assert client.chunk() == b"second"
    side.close()
    assert client.chunk() == b""

    assert head.fields == ((b"Transfer-Encoding", b"chunked"),)
    assert client.exactly(2) == b"\r\n"
    assert stage.exchange(GET, client=client)[1].body == b"ok"
    assert stage.counts() == Counts({200: 2}, {}, {"ok": 2})


@pytest.mark.parametrize("text", [b"HTTP/1.1 200 OK\r\n\r\nhello", CHUNKED_HEAD + b"5\r\nhello\r\n0\r\n\r\n"])
def test_http_1_0_gets_a_body_of_unknown_length_until_close(stage: Stage, text: bytes) -> None:
    client, side, _ = stage.ask(GET_1_0)
    side.send(text)
    side.close()

    assert client.message() == Message(b"HTTP/1.1 200 OK", ((b"Connection", b"close"),), b"hello")


def test_the_first_bytes_of_a_body_do_not_wait_for_more(stage: Stage) -> None:
    client, side, _ = stage.ask(GET)
    side.send(CHUNKED_HEAD)
    assert client.head().status == 200
    side.send(b"6\r\ndat")
    assert client.chunk() == b"dat"
    side.send(b"a: \r\n0\r\n\r\n")
    assert client.chunk() == b"a: "
    assert client.chunk() == b""


# Interim responses


def test_early_hints_pass_to_http_1_1(stage: Stage) -> None:
    client, side, _ = stage.ask(GET)
    side.send(EARLY_HINTS)
    hints = client.message()
    side.send(OK)

    assert hints.line == b"HTTP/1.1 103 Early Hints"
    assert hints.fields == ((b"Link", b"</style.css>; rel=preload"),)
    assert client.message().body == b"ok"
    assert_reused(stage, client, side)


def test_interim_responses_never_pass_to_http_1_0(stage: Stage) -> None:
    client, side, _ = stage.ask(GET_1_0)
    side.send(EARLY_HINTS + CONTINUE + OK)

    assert client.message().status == 200


def test_sixteen_interim_responses_pass(stage: Stage) -> None:
    client, side, _ = stage.ask(GET)
    side.send(16 * EARLY_HINTS + OK)

    assert [client.message().status for _ in range(17)] == 16 * [103] + [200]


def test_a_hundred_that_nobody_waits_for_is_dropped(stage: Stage) -> None:
    client, side, _ = stage.ask(GET)
    side.send(CONTINUE + OK)

    assert client.message().status == 200


def expecting(body: bytes = b"hello", version: bytes = b"1.1") -> bytes:
    head = b"POST / HTTP/%b\r\nHost: a.example\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n"
    return head % (version, len(body))


def test_who_waits_for_100_gets_it_from_the_upstream(stage: Stage) -> None:
    client = stage.client().send(expecting())
    side = stage.upstream.asked()
    head = side.head()
    assert (head.one(b"Expect"), head.one(b"Content-Length")) == (b"100-Continue", b"5")
    side.send(CONTINUE)
    assert client.message() == Message(b"HTTP/1.1 100 Continue", ())
    client.send(b"hello")
    assert side.exactly(5) == b"hello"
    side.send(OK)

    assert client.message().fields == ((b"Content-Length", b"2"),)
    assert_reused(stage, client, side)


def test_who_does_not_wait_for_100_may_send_at_once(stage: Stage) -> None:
    client, side, seen = stage.ask(expecting() + b"hello")
    side.send(CONTINUE + OK)

    assert seen.body == b"hello"
    assert [client.message().status for _ in range(2)] == [100, 200]
    assert_reused(stage, client, side)


def test_a_final_answer_in_place_of_100_ends_both_connections(stage: Stage) -> None:
    """Whether the body will come is not known (RFC 9110 section 10.1.1): neither may be used again."""
    client = stage.client().send(expecting())
    side = stage.upstream.asked()
    side.head()
    side.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
    answer = client.message()

    assert (answer.status, answer.one(b"Connection"), answer.body) == (403, b"close", b"no")
    assert client.rest() == b""
    assert side.end()
    assert stage.counts() == Counts({403: 1}, {}, {"4xx": 1})


def test_http_1_0_expects_nothing(stage: Stage) -> None:
    client, side, seen = stage.ask(expecting(version=b"1.0") + b"hello")
    side.send(CONTINUE + OK)

    assert (seen.all(b"Expect"), seen.body) == ([], b"hello")
    assert client.message().status == 200


# Early responses


def test_a_small_rest_of_a_body_is_read_when_the_answer_came_early(stage: Stage) -> None:
    client = stage.client().send(POST + b"Content-Length: 100000\r\n\r\n", bytes(10))
    side = stage.upstream.asked()
    side.head()
    side.send(OK)
    answer = client.message()
    client.send(bytes(99990))

    assert (answer.body, answer.all(b"Connection")) == (b"ok", [])
    assert_closed_and_never_given_on(stage, client, side)
    assert stage.counts() == Counts({200: 2}, {}, {"ok": 2})


@pytest.mark.parametrize("framing", [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"])
def test_a_large_or_unknown_rest_ends_the_connection_but_not_the_answer(stage: Stage, framing: bytes) -> None:
    client = stage.client().send(POST + framing + b"\r\n\r\n", b"1\r\nx\r\n")
    side = stage.upstream.asked()
    side.head()
    side.send(OK)
    for _ in range(50):
        client.send(b"a\r\n0123456789\r\n" * 1000)
    answer = client.message()

    assert (answer.body, answer.one(b"Connection")) == (b"ok", b"close")
    assert client.rest() == b""
    assert side.end()
    assert stage.counts() == Counts({200: 1}, {}, {"ok": 1})


@pytest.mark.parametrize("ends_upload", [False, True])
def test_an_answer_that_the_client_has_not_read_yet_survives_the_rest_of_the_upload(
    stage: Stage, ends_upload: bool
) -> None:
    body = bytes(24_000)  # more than the client takes, and little enough to come to the proxy in one piece
    client = stage.client(narrow=True).send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    side = stage.upstream.asked()
    side.head()
    side.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    eventually(lambda: stage.attempts("ok"))
    client.send(100 * b"1\r\nx\r\n")
    if ends_upload:
        client.end_sending()
    assert stage.exchange(GET)[1].status == 200
    answer = client.message()

    assert (answer.one(b"Connection"), answer.body) == (b"close", body)
    assert client.rest() == b""


def test_both_bodies_may_be_on_their_way_at_once(stage: Stage) -> None:
    client = stage.client().send(POST + b"Content-Length: 6\r\n\r\n")
    side = stage.upstream.asked()
    side.head()
    side.send(CHUNKED_HEAD)
    client.head()
    for i in range(6):
        client.send(b"%d" % i)
        assert side.exactly(1) == b"%d" % i
        side.send(b"1\r\n%d\r\n" % i)
        assert client.chunk() == b"%d" % i
    side.send(b"0\r\n\r\n")

    assert (client.chunk(), client.exactly(2)) == (b"", b"\r\n")
    assert_reused(stage, client, side)


# Ends that come too early

CUT_OFF = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    "length, no byte": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    "chunks, none": CHUNKED_HEAD,
    "chunks, in a size": CHUNKED_HEAD + b"5\r\nhello\r\n5",
    "chunks, in a chunk": CHUNKED_HEAD + b"5\r\nhel",
    "chunks, no last one": CHUNKED_HEAD + b"5\r\nhello\r\n",
    "chunks, in the last one": CHUNKED_HEAD + b"5\r\nhello\r\n0\r\n",
    "chunks, in the trailers": CHUNKED_HEAD + b"5\r\nhello\r\n0\r\nX-A: 1\r\n",
}


@pytest.mark.parametrize("text", CUT_OFF.values(), ids=CUT_OFF)
@pytest.mark.parametrize("end", [Peer.close, Peer.reset], ids=["closed", "reset"])
@pytest.mark.parametrize("request_", [GET, GET_1_0], ids=["1.1", "1.0"])
def test_a_response_that_is_cut_off_aborts_the_connection(stage: Stage, text: bytes, end, request_: bytes) -> None:
    client, side, _ = stage.ask(request_)
    side.send(text)
    assert client.head().status == 200
    end(side)

    assert client.end() == "reset"
    assert stage.counts() == Counts({200: 1}, {"response_incomplete": 1}, {"reset": 1})


@pytest.mark.parametrize("request_", [GET, GET_1_0], ids=["1.1", "1.0"])
def test_a_body_until_close_that_is_reset_aborts_the_connection(stage: Stage, request_: bytes) -> None:
    client, side, _ = stage.ask(request_)
    side.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert client.head().status == 200
    side.reset()

    assert client.end() == "reset"
    assert stage.counts() == Counts({200: 1}, {"response_incomplete": 1}, {"reset": 1})


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Le", EARLY_HINTS])
@pytest.mark.parametrize(("end", "word"), [(Peer.close, "upstream_closed"), (Peer.reset, "upstream_reset")])
def test_an_end_before_the_head_is_502(stage: Stage, text: bytes, end, word: str) -> None:
    client, side, _ = stage.ask(GET)
    side.send(text)
    if text == EARLY_HINTS:
        assert client.message().status == 103
    end(side)
    answer = client.message()

    assert (answer.status, answer.one(b"Connection")) == (502, b"keep-alive")
    assert answer.one(b"Proxy-Status") == b"serinus; error=connection_terminated"
    assert stage.exchange(GET, client=client)[1].status == 200
    assert stage.counts() == Counts({200: 1, 502: 1}, {word: 1}, {"reset": 1, "ok": 1})


# Clients that go away


@pytest.mark.parametrize("stage_of_it", ["asking", "answering", "uploading"])
def test_a_client_that_aborts_ends_the_request_at_the_upstream(stage: Stage, stage_of_it: str) -> None:
    client = stage.client().send(POST + b"Content-Length: 5\r\n\r\n" if stage_of_it == "uploading" else GET)
    side = stage.upstream.asked()
    side.head()
    if stage_of_it == "answering":
        side.send(CHUNKED_HEAD)
        client.head()
    client.reset()

    assert side.end()
    status = 200 if stage_of_it == "answering" else 499
    assert stage.counts() == Counts({status: 1}, {"client_closed": 1}, {"aborted": 1})
