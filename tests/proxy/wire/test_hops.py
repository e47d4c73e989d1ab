"""How far a request goes: our name in Via, loops, Max-Forwards, TRACE, and paths that hide a slash.

RFC 9110 sections 7.6.2 (Max-Forwards), 7.6.3 (Via), 9.3.7 (OPTIONS), 9.3.8 (TRACE).
"""

from collections.abc import Iterator

import pytest

from proxy.core.snapshot import Route
from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.peers import Message, Peer, Upstream, head
from tests.support.stage import GET, OK, Stage

Scene = tuple[OneWorker, Upstream]


# Via


def test_without_a_name_nothing_is_added_and_what_others_said_passes(stage: Stage) -> None:
    seen, answer = stage.exchange(head(b"GET / HTTP/1.1", b"Via: 1.1 edge"), b"HTTP/1.1 204 A\r\nVia: 1.1 x\r\n\r\n")

    assert seen.all(b"Via") == [b"1.1 edge"]
    assert answer.all(b"Via") == [b"1.1 x"]


@pytest.mark.parametrize(("line", "ours"), [(b"GET / HTTP/1.1", b"1.1 Edge-1"), (b"GET / HTTP/1.0", b"1.0 Edge-1")])
def test_requests_get_our_name_behind_those_of_others(stage: Stage, line: bytes, ours: bytes) -> None:
    stage.limit(via="Edge-1")
    seen, answer = stage.exchange(head(line, b"Via: 1.0 fred, 1.1 p.example.net", b"X-A: 1"))

    assert seen.all(b"Via") == [b"1.0 fred, 1.1 p.example.net", ours]
    assert answer.all(b"Via") == []


@pytest.mark.parametrize(
    ("line", "ours"), [(b"HTTP/1.1 200 OK\r\nVia: 1.1 x", b"1.1 edge:80"), (b"HTTP/1.0 200 OK", b"1.0 edge:80")]
)
def test_responses_get_it_where_the_file_says_so(stage: Stage, line: bytes, ours: bytes) -> None:
    stage.limit(via="edge:80", via_on_responses=True)
    _, answer = stage.exchange(GET, line + b"\r\nContent-Length: 2\r\n\r\nok")

    assert answer.all(b"Via") == [*([b"1.1 x"] if b"Via" in line else []), ours]
    assert answer.body == b"ok"


def test_a_switch_of_protocols_gets_it_too(stage: Stage) -> None:
    stage.limit(via="edge", via_on_responses=True)
    upgrade = head(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket")
    client, side, seen = stage.ask(upgrade)
    side.send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

    assert seen.all(b"Via") == [b"1.1 edge"]
    assert client.head().all(b"Via") == [b"1.1 edge"]
    side.close()


def test_a_request_that_is_sent_again_has_our_name_once(stage: Stage) -> None:
    stage.limit(via="edge")
    client = stage.client()
    stage.exchange(GET, client=client)
    client.send(head(b"PUT / HTTP/1.1", b"Content-Length: 2") + b"ok")
    first = stage.upstream.asked()
    first.close()
    again = stage.upstream.asked()

    assert again.message().all(b"Via") == [b"1.1 edge"]
    again.send(OK)
    assert client.message().status == 200


LOOPS = [
    b"Via: 1.1 edge-1",
    b"Via: 1.1 EDGE-1",
    b"Via: 1.0 fred, 1.1 edge-1, 1.1 other",
    b"Via: 1.1 fred\r\nVia: HTTP/1.1 edge-1",
    b"Via: 1.1\tedge-1 (ours)",
    b"Via: 1.1 fred (a, 1.1 (b) \\) c),1.1 edge-1",
]
NO_LOOPS = [
    b"Via: 1.1 edge-11",
    b"Via: 1.1 edge-1:80",
    b"Via: 1.1 edge",
    b"Via: 1.1 fred (edge-1)",
    b"Via: 1.1 fred (1.1 x, 1.1 edge-1)",
    b"Via: edge-1",
    b"Via: edge-1 fred",
    b"Via: 1.1 fred edge-1",
    b"Via: 1.1 fred (open 1.1 x, 1.1 edge-1",
    b"Via:",
    b"X-Via: 1.1 edge-1",
]


@pytest.mark.parametrize("field", LOOPS)
def test_a_request_that_was_here_before_is_508(stage: Stage, field: bytes) -> None:
    stage.limit(via="Edge-1")
    answer = stage.client().send(head(b"GET / HTTP/1.1", field)).message()

    assert (answer.status, answer.one(b"Proxy-Status")) == (508, b"serinus; error=proxy_loop_detected")
    assert stage.counts().reasons == {"loop_detected": 1}


@pytest.mark.parametrize("field", NO_LOOPS)
def test_what_only_looks_like_our_name_is_no_loop(stage: Stage, field: bytes) -> None:
    stage.limit(via="Edge-1")
    assert stage.exchange(head(b"GET / HTTP/1.1", field))[1].status == 200


# Max-Forwards


@pytest.mark.parametrize(
    ("left", "then"),
    [(b"1", b"0"), (b"10", b"9"), (b"007", b"6"), (b"9" * 30, b"9223372036854775806")],
)
def test_options_may_be_forwarded_once_less(stage: Stage, left: bytes, then: bytes) -> None:
    seen, _ = stage.exchange(head(b"OPTIONS /x HTTP/1.1", b"Max-Forwards: " + left, b"X-A: 1"))

    assert seen.one(b"Max-Forwards") == then
    assert seen.one(b"X-A") == b"1"


@pytest.mark.parametrize("left", [b"0", b"000"])
def test_options_that_may_go_no_further_are_answered_here(stage: Stage, left: bytes) -> None:
    client = stage.client().send(head(b"OPTIONS /x HTTP/1.1", b"Max-Forwards: " + left))
    answer = client.message()

    assert (answer.status, answer.one(b"Connection")) == (204, b"keep-alive")
    assert answer.one(b"Allow") == b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
    assert stage.exchange(GET, client=client)[1].status == 200
    assert stage.counts().requests == {200: 1, 204: 1}


@pytest.mark.parametrize("fields", [b": ", b": -1", b": 1, 1", b": 1\r\nMax-Forwards: 1", b": x", b": +1", b": 1.0"])
def test_a_number_of_forwards_that_is_none_is_refused(stage: Stage, fields: bytes) -> None:
    answer = stage.client().send(head(b"OPTIONS /x HTTP/1.1", b"Max-Forwards" + fields)).message()
    assert answer.status == 400


def test_for_other_methods_it_means_nothing(stage: Stage) -> None:
    seen, _ = stage.exchange(head(b"GET / HTTP/1.1", b"Max-Forwards: 0", b"Max-Forwards: x"))
    assert seen.all(b"Max-Forwards") == [b"0", b"x"]


# Routes that say more


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A worker with a route that traces, one that refuses hidden slashes, and one for all else."""
    upstream = Upstream()
    routes = [
        Route("shop", path_kind="prefix", path="/trace", methods=frozenset({"TRACE", "GET"})),
        Route("shop", path_kind="prefix", path="/files", refuses_hidden_slashes=True),
        Route("shop"),
    ]
    with one_worker(service([[upstream.port]]), routes=routes) as worker:
        yield worker, upstream
    upstream.close()


def passed(scene: Scene, request: bytes) -> Message:
    """What the upstream gets of this request."""
    worker, upstream = scene
    client = Peer.connect(worker.address).send(request)
    side = upstream.asked()
    seen = side.message()
    side.send(OK)
    assert client.message().status == 200
    client.close()
    return seen


def answered(scene: Scene, request: bytes) -> tuple[Message, bytes]:
    """Our own answer, and what follows it to the end of the connection."""
    client = Peer.connect(scene[0].address).send(request)
    answer = client.message()
    client.end_sending()
    rest = client.rest()
    client.close()
    return answer, rest


TRACE = head(b"TRACE /trace HTTP/1.1")


def test_a_trace_passes_where_a_route_names_the_method(scene: Scene) -> None:
    assert passed(scene, TRACE).line == b"TRACE /trace HTTP/1.1"
    assert passed(scene, head(b"TRACE /trace HTTP/1.1", b"Max-Forwards: 3")).one(b"Max-Forwards") == b"2"


@pytest.mark.parametrize("line", [b"TRACE / HTTP/1.1", b"TRACE /files HTTP/1.1", b"TRACE http://a.example HTTP/1.1"])
def test_anywhere_else_it_is_405(scene: Scene, line: bytes) -> None:
    for fields in ([], [b"Max-Forwards: 0"]):
        answer, rest = answered(scene, head(line, *fields))
        assert (answer.status, answer.one(b"Connection"), rest) == (405, b"close", b"")


def test_a_trace_that_may_go_no_further_shows_what_came_without_secrets(scene: Scene) -> None:
    secrets = [b"Authorization: Basic x", b"Cookie: a=b", b"Proxy-Authorization: Basic y"]
    shown = [b"X-A:  1", b"Max-Forwards: 0", b"Authorization-X: 1"]
    answer, rest = answered(scene, head(b"TRACE /trace HTTP/1.1", shown[0], *secrets, *shown[1:]))

    assert (answer.status, answer.one(b"Content-Type"), rest) == (200, b"message/http", b"")
    assert answer.body == head(b"TRACE /trace HTTP/1.1", *shown)


@pytest.mark.parametrize("fields", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
def test_a_trace_with_a_body_is_refused(scene: Scene, fields: bytes) -> None:
    answer, rest = answered(scene, head(b"TRACE /trace HTTP/1.1", fields) + b"2\r\nok\r\n0\r\n\r\n")
    assert (answer.status, rest) == (400, b"")


HIDDEN = [b"/files/a%2Fb", b"/files/a%2fb", b"/files/%2F", b"/files/%5C..%5cx", b"/files/a\\b", b"//files/a%2Fb"]
PLAIN = [b"/files/a/b?c=%2F", b"/files/a%252Fb", b"/files/a%2", b"/files/%2e%2E/files", b"/other/a%2Fb", b"/a%2Fb\\c"]


@pytest.mark.parametrize("target", HIDDEN)
def test_a_route_may_refuse_paths_that_hide_a_slash(scene: Scene, target: bytes) -> None:
    answer, rest = answered(scene, head(b"GET %b HTTP/1.1" % target))
    assert (answer.status, answer.one(b"Proxy-Status"), rest) == (400, b"serinus; error=http_request_denied", b"")


@pytest.mark.parametrize("target", PLAIN)
def test_other_paths_and_other_routes_pass_as_they_came(scene: Scene, target: bytes) -> None:
    assert passed(scene, head(b"GET %b HTTP/1.1" % target)).line == b"GET %b HTTP/1.1" % target
