"""The corpus of responses (tests/corpus/http1), however they are cut: what the client gets, and whose failure it is.

What is forwarded is also given to h11 and to llhttp, which must read it as it was understood here.
"""

from contextlib import suppress

import pytest

from tests.support.corpus import Case, Recorded, each_case, plain, read_cases, ways
from tests.support.oracles import Read, read_by_h11, read_by_httptools
from tests.support.peers import Message, Peer
from tests.support.stage import GET, Stage

LONG = pytest.mark.timeout(600)
# What was asked, by the beginning of a case's subject; anything else is the answer to GET.
ASKED = {
    "to-head-": b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "to-1.0-": b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
    "to-expect-": b"POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    "to-websocket-": b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}


def asked(case: Case) -> bytes:
    return next((request for name, request in ASKED.items() if case.subject.startswith(name)), GET)


def method(case: Case) -> bytes:
    return asked(case).split(b" ")[0]


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """With the upstream at a path, which tells when it was read."""
    stage.upstream = stage.new_upstream(unix=True)
    stage.serve()
    return stage


def answer(stage: Stage, case: Case, parts: list[bytes]) -> tuple[Peer, Peer]:
    """The client that asked, and the upstream connection on which all of the answer was sent."""
    client = stage.client().send(asked(case))
    side = stage.upstream.asked()
    side.head()
    return client, side.send_apart(*parts)


def read_all(client: Peer, case: Case) -> list[Message]:
    """All responses that the client gets. Raises ConnectionError when one does not end well."""
    messages = [client.message(to=method(case))]
    while messages[-1].status < 200 and messages[-1].status != 101:
        messages.append(client.message(to=method(case)))
    with suppress(OSError):
        client.end_sending()
    assert client.rest() == b"", "something follows"
    return messages


@LONG
@each_case("valid", "response")
def test_a_valid_response_is_forwarded_as_the_corpus_says_and_others_read_it_so(stage: Stage, case: Case) -> None:
    every_way = ways(case.text)
    for parts in every_way:
        client, side = answer(stage, case, parts)
        side.close()
        messages = read_all(client, case)
        client.close()
        assert b"".join(map(plain, messages)) == case.forwarded
        assert_others_agree(bytes(client.record), case)

    attempts = stage.counts().attempts
    assert sum(attempts.get(outcome, 0) for outcome in ("ok", "4xx", "5xx")) == len(every_way)


@LONG
@each_case("invalid", "response")
def test_an_invalid_response_never_looks_whole_and_is_the_failure_of_its_version(stage: Stage, case: Case) -> None:
    """Bytes behind a whole response are dropped instead, with their connection."""
    every_way = ways(case.text)
    for parts in every_way:
        client, side = answer(stage, case, parts)
        if case.forwarded:
            assert side.end()
            assert plain(read_all(client, case)[-1]) == case.forwarded
        elif case.is_cut:
            side.close()
            with pytest.raises(ConnectionError):
                read_all(client, case)
        else:
            side.close()
            last = read_all(client, case)[-1]
            assert (last.status, *case.ends) == (502, 502)
            assert (last.one(b"Proxy-Status") or b"").startswith(b"serinus; error=")
        client.close()

    attempts = stage.counts().attempts
    outcomes = ("ok",) if case.forwarded else ("protocol_error", "reset")
    assert sum(attempts.get(outcome, 0) for outcome in outcomes) == sum(attempts.values()) == len(every_way)


def test_there_are_enough_cases() -> None:
    valid, invalid = read_cases("valid", "response"), read_cases("invalid", "response")

    assert len(valid) + len(invalid) >= 150
    assert all(case.ends or case.is_cut for case in invalid)
    assert all(case.forwarded for case in valid)


def assert_others_agree(record: bytes, case: Case) -> None:
    """Status, reason, fields, body, trailers and the end are what a strict reading finds.

    Not asked about 101, "a change in the application protocol" (RFC 9110 section 15.2.2). llhttp is not told what was
    asked: "any response to a HEAD request [...] is always terminated by the first empty line" (RFC 9112 section 6.3).
    """
    reader = Recorded(record)
    message = reader.message(to=method(case))
    while message.status < 200 and message.status != 101:
        message = reader.message(to=method(case))
    if message.status == 101:
        return
    read = Read(message.line, list(message.fields), message.body, list(message.trailers))
    closed = not message.all(b"Content-Length") and not message.all(b"Transfer-Encoding")
    assert read_by_h11(record, method(case), closed=closed) == read
    if method(case) != b"HEAD":
        assert read_by_httptools(record, response=True, closed=closed) == read
