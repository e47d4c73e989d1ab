"""The corpus of requests (tests/corpus/http1), however they are cut: what becomes of each, and what others read in it.

What is forwarded is also given to h11 and to llhttp, which must read it as it was understood here. Where llhttp does
not, the case is in `UNREAD_BY_LLHTTP` with the sentences of the RFC that allow it.
"""

from collections import Counter

import h11
import pytest

from tests.support.corpus import Case, each_case, plain, read_cases, ways, whole_message, without_ours
from tests.support.corpus_play import Play, Played
from tests.support.oracles import Read, read_by_h11, read_by_httptools
from tests.support.stage import Stage

LONG = pytest.mark.timeout(600)
# "The method token is case-sensitive", and "additional methods, outside the scope of this specification, have been
# specified for use in HTTP" (RFC 9110 section 9.1): any token is a method. llhttp knows a list of them.
UNREAD_BY_LLHTTP = frozenset(
    "method-in-lower-case method-in-mixed-case method-with-every-token-character method-of-64-bytes method-of-one-byte"
    " method-that-begins-like-connect method-that-begins-like-trace method-connect-in-lower-case".split()
)


def play(stage: Stage, parts: list[bytes]) -> Played:
    return Play(stage.client(unix=True), parts, stage.upstream).run()


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """With the upstream at a path: the order in which it is asked does not depend on TCP."""
    stage.upstream = stage.new_upstream(unix=True)
    stage.serve()
    return stage


@LONG
@each_case("valid", "request")
def test_a_valid_request_is_forwarded_as_the_corpus_says_and_others_read_it_so(stage: Stage, case: Case) -> None:
    every_way = ways(case.text)
    for parts in every_way:
        played = play(stage, parts)
        assert b"".join(forwarded(record) for record in played.arrived) == case.forwarded
        assert played.statuses == expected_statuses(case, len(played.arrived))
        for record in played.arrived:
            assert_others_agree(record, llhttp=case.name not in UNREAD_BY_LLHTTP)

    counts = stage.counts()
    assert counts.attempts == ({"ok": len(every_way) * len(played.arrived)} if played.arrived else {})


def expected_statuses(case: Case, arrived: int) -> tuple[int, ...]:
    """All were answered with 200 by the upstream; what was not forwarded is for the proxy to answer."""
    return (204,) * case.text.startswith((b"OPTIONS * ", b"OPTIONS http://a.example ")) + (200,) * arrived


@LONG
@each_case("invalid", "request")
def test_an_invalid_request_is_refused_and_nothing_whole_reaches_the_upstream(stage: Stage, case: Case) -> None:
    every_way = ways(case.text)
    for parts in every_way:
        played = play(stage, parts)
        arrived = [record for record in played.arrived if whole_message(record)]
        begun = [record for record in played.arrived if not whole_message(record)]
        assert played.statuses == case.ends
        assert b"".join(forwarded(record) for record in arrived) == case.forwarded
        assert all(answer.one(b"Connection") == b"close" for answer in played.answers if answer.status != 200)
        if not case.subject.startswith("body-"):
            assert begun == []
        for record in begun:
            assert_not_whole(record)

    counts = stage.counts()
    assert {status: count for status, count in counts.requests.items() if status != 499} == {
        status: count * len(every_way) for status, count in Counter(case.ends).items()
    }
    assert counts.attempts.get("ok", 0) == case.ends.count(200) * len(every_way)
    assert set(counts.attempts) <= {"ok", "aborted"}, "a fault of the client is no failure of the version"


def test_the_corpus_has_what_it_should() -> None:
    """Names that say which methods llhttp does not know are those of cases; there are enough cases."""
    valid, invalid = read_cases("valid", "request"), read_cases("invalid", "request")

    assert {case.name for case in valid} >= UNREAD_BY_LLHTTP
    assert len(valid) + len(invalid) >= 300
    assert all(case.ends or case.is_cut for case in invalid)


def forwarded(record: bytes) -> bytes:
    message = whole_message(record)
    assert message, record
    return plain(without_ours(message))


def assert_others_agree(record: bytes, *, llhttp: bool) -> None:
    """Method, target, fields, body, trailers and the end are what a strict reading finds."""
    message = whole_message(record)
    assert message
    read = Read(message.line, list(message.fields), message.body, list(message.trailers))
    assert read_by_h11(record) == read
    if llhttp:
        assert read_by_httptools(record) == read


def assert_not_whole(record: bytes) -> None:
    """There is no fault in it, and no end."""
    if not record:
        return  # a connection that was made, and closed with the client's
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(record)
    while not isinstance(event := reader.next_event(), type(h11.NEED_DATA)):
        assert isinstance(event, h11.Request | h11.Data), event
