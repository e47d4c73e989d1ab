"""What passes is what two independent parsers read in it, however it is made and cut; what is no HTTP does no harm.

The oracles are h11 and httptools. What happens to each field is modelled in tests/support/passing.py.
"""

import select
from contextlib import suppress

import h11
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.corpus import plain, whole_message, without_ours
from tests.support.corpus_play import Play, Played
from tests.support.oracles import Read, asking_h11, read_by_h11, read_by_httptools
from tests.support.passing import answer_passes, passed, passes
from tests.support.peers import PATIENCE, Peer, Upstream
from tests.support.random_messages import (
    CUTS,
    FRAMING,
    GARBAGE,
    KNOWN_METHODS,
    Raw,
    answers,
    cut,
    requests,
    spoiled,
)
from tests.support.stage import GET, Stage, eventually

POST = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
MANY = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


def over_unix(stage: Stage) -> Upstream:
    """The upstream at a path, which tells when it was read."""
    if stage.upstream.port:
        stage.upstream = stage.new_upstream(unix=True)
        stage.serve()
    return stage.upstream


# What is valid


@MANY
@given(raw=requests(), positions=CUTS)
def test_a_request_arrives_as_others_read_it(stage: Stage, raw: Raw, positions: list[int]) -> None:
    client = stage.client(unix=True).send_apart(*cut(raw.text, positions))
    side = stage.upstream.asked()
    before = len(side.record)
    seen = side.message()
    side.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.message().status == 204
    client.close()

    start, fields, body, *_ = read_by_h11(raw.text)
    assert (start, body) == (raw.start, raw.body)
    assert (seen.line, seen.body) == (start, body)
    assert passed(seen) == [pair for pair in fields if passes(pair, raw.fields, raw.chunked)]
    forwarded = bytes(side.record[before:])
    read = Read(seen.line, list(seen.fields), seen.body, list(seen.trailers))
    assert read_by_h11(forwarded) == read
    if raw.start.split(b" ")[0] in KNOWN_METHODS:
        assert read_by_httptools(forwarded) == read


@MANY
@given(raw=answers(), positions=CUTS)
def test_a_response_arrives_as_others_read_it(stage: Stage, raw: Raw, positions: list[int]) -> None:
    upstream = over_unix(stage)
    client = stage.client().send(GET)
    side = upstream.asked()
    side.message()
    side.send_apart(*cut(raw.text, positions))
    got = client.message()
    client.close()

    start, fields, body, *_ = read_by_h11(raw.text, b"GET")
    assert (start, body) == (raw.start, raw.body)
    assert (got.line, got.body) == (start, body)
    told = [pair for pair in got.fields if pair[0].lower() not in FRAMING]
    assert told == [pair for pair in fields if answer_passes(pair, raw.fields, raw.chunked)]
    read = Read(got.line, list(got.fields), got.body, list(got.trailers))
    assert read_by_h11(bytes(client.record), b"GET") == read


# What is not


@MANY
@given(text=st.one_of(GARBAGE, spoiled(requests())), positions=CUTS)
def test_nothing_that_a_client_sends_does_harm(stage: Stage, text: bytes, positions: list[int]) -> None:
    """It gets answers or a close, and what reaches the upstream is well-formed as far as it goes."""
    client = stage.client(unix=True)
    forwarded = answer_all(stage, client, cut(text, positions))

    assert not client.record or client.record.startswith(b"HTTP/1.1 ")
    for request in forwarded:
        assert_well_formed(h11.Connection(h11.SERVER), request)
    eventually(lambda: stage.gauges()["clients"] == stage.gauges()["requests in flight"] == 0)
    assert stage.worker.program.poll() is None


@MANY
@given(text=st.one_of(GARBAGE, spoiled(answers())), positions=CUTS)
def test_nothing_that_an_upstream_sends_does_harm(stage: Stage, text: bytes, positions: list[int]) -> None:
    """The client gets a response that is well-formed as far as it goes."""
    upstream = over_unix(stage)
    client = stage.client().send(POST)
    side = upstream.asked()
    side.message()
    side.send_apart(*cut(text, positions))
    side.close()
    with suppress(ConnectionError):
        answer = client.message()
        while answer.status < 200:
            answer = client.message()
    client.close()

    assert_well_formed(asking_h11(b"POST"), bytes(client.record))
    eventually(lambda: stage.gauges()["clients"] == stage.gauges()["requests in flight"] == 0)
    assert stage.worker.program.poll() is None


@settings(MANY, max_examples=40)
@given(text=spoiled(requests()).filter(lambda text: not text.startswith(b"HEAD")), positions=CUTS)
def test_it_does_not_matter_how_a_request_is_cut(stage: Stage, text: bytes, positions: list[int]) -> None:
    """Its last line has an end: a fault in one that has none may be seen only when that comes."""
    over_unix(stage)
    text += b"\r\n"
    whole, parts = (
        Play(stage.client(unix=True), some, stage.upstream).run() for some in ([text], cut(text, positions))
    )

    assert whole.statuses == parts.statuses
    assert forwarded(whole) == forwarded(parts)


def forwarded(played: Played) -> list[bytes]:
    """The requests that arrived whole."""
    messages = (whole_message(record) for record in played.arrived)
    return [plain(without_ours(message)) for message in messages if message]


def answer_all(stage: Stage, client: Peer, parts: list[bytes]) -> list[bytes]:
    """Send the parts, be an upstream that answers each head at once and closes, until all is over; what came there."""
    sides: list[Peer] = []
    while client.fileno() >= 0:
        if parts and not client.has_unread():
            send_next(client, parts)
        asked = [stage.upstream.fileno(), client.fileno(), *(side.fileno() for side in sides if side.fileno() >= 0)]
        ready, _, _ = select.select(asked, [], [], 0 if parts else PATIENCE)
        assert ready or parts, "neither an answer nor an end"
        if stage.upstream.fileno() in ready:
            sides.append(stage.upstream.accept())
        for side in sides:
            if side.fileno() in ready:
                answer_head(side)
        if client.fileno() in ready and not client.read_some():
            client.close()
    return [bytes(side.record) for side in sides]


def send_next(client: Peer, parts: list[bytes]) -> None:
    with suppress(OSError):
        client.send(parts.pop(0))
        if not parts:
            client.end_sending()


def answer_head(side: Peer) -> None:
    """Answer if there is a whole head by now, and close."""
    more = side.read_some()
    if b"\r\n\r\n" in side.record:
        side.send(LAST)
        side.close()
    elif not more:
        side.close()


def assert_well_formed(reader: h11.Connection, text: bytes) -> None:
    """There is no fault in it, though it may not be whole."""
    if not text:
        return  # to h11 it would be the end
    reader.receive_data(text)
    while reader.next_event() not in (h11.NEED_DATA, h11.PAUSED):
        if reader.their_state in (h11.DONE, h11.MUST_CLOSE):
            return
