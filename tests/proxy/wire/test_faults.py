"""Answers of the proxy's own: what they say, in which form, and that nothing of the request is in them."""

import json
from http import HTTPStatus

import pytest

from proxy.core.faults import render
from proxy.core.outcome import FAULTS, Reason
from proxy.core.snapshot import Route
from tests.support.one_worker import one_worker, service
from tests.support.peers import Message, Peer, Upstream, head
from tests.support.stage import GET, Counts, Stage, eventually

TOLD = [reason for reason in Reason if FAULTS[reason].status]
JSON = b"application/problem+json"
TEXT = b"text/plain; charset=utf-8"


def get(*fields: bytes, method: bytes = b"GET") -> bytes:
    return head(method + b" /secret HTTP/1.1", *fields)


def no_endpoint(stage: Stage, request: bytes, client: Peer | None = None) -> Message:
    """The 503 of a service without endpoints."""
    nobody = stage.new_upstream()
    nobody.sockets = ()
    stage.serve(nobody)
    return (client or stage.client()).send(request).message(to=request.split(b" ")[0])


# The form


@pytest.mark.parametrize("reason", TOLD)
@pytest.mark.parametrize("wants_json", [True, False], ids=["json", "text"])
def test_every_reason_has_a_whole_answer(reason: Reason, wants_json: bool) -> None:
    text = render(reason, "id-1", wants_json=wants_json, head_only=False, close=True)
    head, _, body = text.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    fault = FAULTS[reason]

    assert head.split(b" ", 2)[:2] == [b"HTTP/1.1", str(fault.status).encode()]
    assert fields[b"Content-Length"] == str(len(body)).encode()
    assert fields[b"Proxy-Status"] == b"serinus; error=" + (fault.error or "proxy_internal_response").encode()
    assert fields[b"X-Request-Id"] == b"id-1"
    assert fields[b"Connection"] == b"close"
    assert (b"Retry-After" in fields) == (fault.status == HTTPStatus.SERVICE_UNAVAILABLE)
    assert (b"Allow" in fields) == (fault.status == HTTPStatus.METHOD_NOT_ALLOWED)
    if wants_json:
        problem = json.loads(body)
        assert (problem["status"], problem["reason"], problem["request_id"]) == (fault.status, reason.label, "id-1")
        assert problem["detail"] == fault.sentence
    else:
        assert fault.sentence.encode() in body
        assert b"id-1" in body


@pytest.mark.parametrize("reason", TOLD)
def test_the_answer_to_head_is_the_head(reason: Reason) -> None:
    whole = render(reason, "id-1", wants_json=False, head_only=False, close=False)
    head = render(reason, "id-1", wants_json=False, head_only=True, close=False)

    assert head == whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


# Over the wire


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ([], TEXT),
        ([b"Accept: */*"], TEXT),
        ([b"Accept: text/html"], TEXT),
        ([b"Accept: application/json"], JSON),
        ([b"Accept: text/html, application/problem+json;q=0.9"], JSON),
        ([b"Accept: APPLICATION/JSON"], JSON),
        ([b"Accept: text/html", b"Accept: application/json"], JSON),
        ([b"Accept: application/json", b"Accept: text/html"], JSON),
    ],
)
def test_who_accepts_json_gets_problem_details_and_everybody_else_text(
    stage: Stage, accept: list[bytes], kind: bytes
) -> None:
    assert no_endpoint(stage, get(*accept)).one(b"Content-Type") == kind


def test_an_answer_in_text(stage: Stage) -> None:
    answer = no_endpoint(stage, get(b"X-Request-Id: id-1", b"X-Secret: secret", b"Cookie: secret"))

    assert answer == Message(
        b"HTTP/1.1 503 Service Unavailable",
        (
            (b"Server", b"serinus"),
            (b"Content-Type", TEXT),
            (b"Content-Length", b"%d" % len(answer.body)),
            (b"Proxy-Status", b"serinus; error=destination_unavailable"),
            (b"X-Request-Id", b"id-1"),
            (b"Retry-After", b"1"),
            (b"Connection", b"keep-alive"),
        ),
        b"503 Service Unavailable: No endpoint of this service is usable now.\nrequest id: id-1\n",
    )


def test_an_answer_in_json(stage: Stage) -> None:
    answer = no_endpoint(stage, get(b"Accept: application/json", b"X-Request-Id: id-1"))

    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "No endpoint of this service is usable now.",
        "reason": "no_endpoint",
        "request_id": "id-1",
    }


def test_the_id_in_the_answer_is_the_one_that_the_upstream_saw(stage: Stage) -> None:
    client, side, seen = stage.ask(GET)
    side.close()

    assert client.message().all(b"X-Request-Id") == seen.all(b"X-Request-Id")


def test_a_request_that_cannot_be_read_gets_an_id_too(stage: Stage) -> None:
    answer = stage.refused(b"GET / HTTP/1.1\r\nX-Request-Id: id-1\r\nX-A : 1\r\n\r\n")

    assert len(answer.one(b"X-Request-Id") or b"") == 32


def test_a_request_that_cannot_be_read_is_answered_in_the_form_that_it_asked_for(stage: Stage) -> None:
    answer = stage.refused(get(b"Accept: application/json", b"X-A : 1"))

    assert json.loads(answer.body)["reason"] == "bad_request"


def test_an_answer_to_head_has_no_body(stage: Stage) -> None:
    client = stage.client()
    answer = no_endpoint(stage, get(method=b"HEAD"), client)

    assert answer.status == 503
    assert answer.one(b"Content-Length") != b"0"
    assert no_endpoint(stage, get(), client).status == 503


def test_a_connection_goes_on_after_an_answer_of_ours(stage: Stage) -> None:
    client = stage.client()
    assert no_endpoint(stage, get(), client).one(b"Connection") == b"keep-alive"
    assert no_endpoint(stage, get(b"Connection: close"), client).one(b"Connection") == b"close"

    assert client.rest() == b""
    assert stage.counts() == Counts({503: 2}, {"no_endpoint": 2}, {"unavailable": 2})


def test_a_connection_ends_with_an_answer_before_the_body_came(stage: Stage) -> None:
    client = stage.client()
    answer = no_endpoint(stage, get(b"Content-Length: 5", method=b"POST"), client)

    assert answer.one(b"Connection") == b"close"
    client.send(b"hello")
    assert client.rest() == b""


def test_http_1_0_is_answered_and_closed(stage: Stage) -> None:
    client = stage.client()

    assert no_endpoint(stage, b"GET / HTTP/1.0\r\n\r\n", client).one(b"Connection") == b"close"
    assert client.rest() == b""


def test_an_endpoint_that_refuses_connections_is_502(stage: Stage) -> None:
    gone = stage.new_upstream()
    gone.close()
    stage.serve(gone)
    answer = stage.client().send(GET).message()

    assert (answer.status, answer.one(b"Proxy-Status")) == (502, b"serinus; error=connection_refused")
    assert stage.counts() == Counts({502: 1}, {"connect_refused": 1}, {"connect_error": 1})


def test_an_endpoint_that_cannot_be_reached_is_502(stage: Stage) -> None:
    gone = stage.new_upstream()
    gone.sockets = (("unix", "/nowhere/to/be/found", 0),)
    stage.serve(gone)
    answer = stage.client().send(GET).message()

    assert (answer.status, answer.one(b"Proxy-Status")) == (502, b"serinus; error=destination_ip_unroutable")
    assert stage.counts() == Counts({502: 1}, {"connect_failed": 1}, {"connect_error": 1})


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_of_the_upstream_passes_as_it_is(stage: Stage, status: int) -> None:
    _, answer = stage.exchange(GET, b"HTTP/1.1 %d Its Own\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nits" % status)

    assert answer == Message(b"HTTP/1.1 %d Its Own" % status, ((b"X-A", b"1"), (b"Content-Length", b"3")), b"its")
    assert stage.counts() == Counts({status: 1}, {}, {"5xx": 1})


def test_a_request_without_a_route_is_404() -> None:
    upstream = Upstream()
    with one_worker(service([[upstream.port]]), routes=[Route("shop", host="b.example")]) as worker:
        client = Peer.connect(worker.address)
        answer = client.send(get()).message()
        assert (answer.status, answer.one(b"Connection")) == (404, b"keep-alive")
        assert answer.one(b"Proxy-Status") == b"serinus; error=destination_not_found"
        assert client.send(get(b"Content-Length: 5", method=b"PUT") + b"hello").message().one(b"Connection") == b"close"
        client.close()
        eventually(lambda: worker.slab.read_version(0)["requests"] == {404: 2})
        assert worker.slab.read_version(0)["reasons"] == {Reason.NO_ROUTE: 2}
    upstream.close()
