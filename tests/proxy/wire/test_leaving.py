"""Tunnels that must end, because their endpoint drains or nothing passes: a Close with 1001, where frames allow it.

A draining endpoint gets no time here (its deadline has passed when it is told), so a tunnel leaves at the next tick; a
second tunnel, which is between two frames, shows when that is.
"""

from dataclasses import dataclass

import pytest

from proxy.core.snapshot import Endpoint, Service, Timeouts, Version
from tests.support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    GOING_AWAY,
    PING,
    frame,
    masked,
    unmask,
)
from tests.support.peers import Peer
from tests.support.stage import GET, Stage, eventually
from tests.support.websocket_ends import HANDSHAKE

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
LEAVE = frame(GOING_AWAY, CLOSE)
ANSWER = masked(GOING_AWAY, CLOSE)
SIZES = (0, 1, 125, 126, 127, 65535, 65536, 300_000)


@dataclass
class Ends:
    """Of one tunnel."""

    client: Peer
    side: Peer


def tunnel(stage: Stage, ahead: bytes = b"") -> Ends:
    """A new tunnel; the upstream says something right behind its 101."""
    client, side, _ = stage.ask(HANDSHAKE)
    side.send(SWITCH + ahead)
    client.head()
    return Ends(client, side)


def drain(stage: Stage, witness: Ends | None = None) -> None:
    """Let all tunnels leave; they do when this returns."""
    witness = witness or tunnel(stage)
    begin_drain(stage)
    assert witness.client.exactly(len(LEAVE)) == LEAVE
    witness.client.close()


def begin_drain(stage: Stage) -> None:
    endpoint = Endpoint(stage.upstream.address, 1, stage.upstream.sockets, state="drain")
    version = Version("v1", 1, (endpoint,))
    service = Service("shop", (version,), (1.0,), 0, ejection=None, drain_timeout=0.0, drain_jitter=0.0)
    stage.worker.serve(service)


def end(ends: Ends) -> None:
    """The closing handshake as a server and a client that behave do it (RFC 6455 section 7.1.1)."""
    ends.client.send(ANSWER)
    assert ends.side.exactly(len(ANSWER)) == ANSWER
    ends.side.send(frame(GOING_AWAY, CLOSE))
    ends.side.close()
    assert ends.client.rest() == b""


def test_the_client_is_told_and_what_it_answers_reaches_the_upstream(stage: Stage):
    ends = tunnel(stage)
    drain(stage)

    assert ends.client.exactly(len(LEAVE)) == LEAVE
    end(ends)
    counts = stage.counts()
    assert (counts.requests, counts.attempts) == ({101: 2}, {"ok": 2})


def test_what_the_client_said_before_it_was_told_reaches_the_upstream(stage: Stage):
    ends = tunnel(stage)
    drain(stage)

    ends.client.send(masked(b"last words"))
    assert ends.side.exactly(len(masked(b"last words"))) == masked(b"last words")
    ends.client.exactly(len(LEAVE))
    end(ends)


def test_what_the_upstream_says_behind_the_close_is_dropped(stage: Stage):
    ends = tunnel(stage)
    drain(stage)

    ends.side.send(frame(b"too late"))
    ends.client.exactly(len(LEAVE))
    end(ends)


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 100])
def test_a_frame_that_has_begun_is_ended_first(stage: Stage, cut: int):
    begun = frame(b"x" * 200)
    ends = tunnel(stage, begun[:cut])
    drain(stage)

    ends.side.send(begun[cut:] + frame(b"not any more"))
    assert ends.client.exactly(len(begun) + len(LEAVE)) == begun + LEAVE
    end(ends)


def test_a_message_of_several_frames_may_be_interrupted(stage: Stage):
    first = frame(b"beginning", last=False)
    ends = tunnel(stage, first)
    drain(stage)

    assert ends.client.exactly(len(first) + len(LEAVE)) == first + LEAVE
    end(ends)


def test_frames_of_all_sizes_are_followed_however_they_are_cut(stage: Stage):
    texts = [frame(bytes(size), opcode) for size in SIZES for opcode in (BINARY, CONTINUATION)]
    texts += [frame(b"?", PING), frame(b"a", last=False), frame(b"b", CONTINUATION)]
    said = b"".join(texts)
    stage.upstream = stage.new_upstream(unix=True)
    stage.serve()
    ends = tunnel(stage)
    pieces = [said[at : at + 1] for at in range(600)] + [said[600:1300], said[1300:200_000], said[200_000:]]
    got = b""
    for piece in pieces:
        ends.side.send(piece)
        got += ends.client.exactly(len(piece))
    drain(stage)

    assert got == said
    assert ends.client.exactly(len(LEAVE)) == LEAVE
    end(ends)


def test_an_upstream_that_has_closed_already_is_not_contradicted(stage: Stage):
    ends = tunnel(stage)
    ends.side.send(frame(b"\x03\xe8", CLOSE))
    assert ends.client.exactly(4) == frame(b"\x03\xe8", CLOSE)
    drain(stage)

    ends.client.send(masked(b"\x03\xe8", CLOSE))
    assert ends.side.exactly(8) == masked(b"\x03\xe8", CLOSE)
    ends.side.close()
    assert ends.client.rest() == b""


def test_a_client_that_says_nothing_is_left_and_the_upstream_is_told_in_its_place(stage: Stage):
    """Also behind frames of all sizes that the client sent."""
    ends = tunnel(stage)
    said = b"".join(masked(bytes(size), BINARY) for size in SIZES)
    ends.client.send(said)
    assert ends.side.exactly(len(said)) == said
    drain(stage)

    close = ends.side.exactly(8)
    assert close[:2] == bytes([128 | CLOSE, 128 | 2])
    assert unmask(close[6:], close[2:6]) == GOING_AWAY
    ends.client.send(masked(b"too late"))
    assert ends.side.end() == "closed"
    assert ends.client.rest() == LEAVE
    assert stage.counts().attempts == {"ok": 2}


@pytest.mark.parametrize("ahead", [b"no frame", masked(b"from a client"), b"\x83\x00", frame(b"whole")[:-1]])
def test_who_speaks_no_frames_or_does_not_end_one_is_cut_off_after_the_grace(stage: Stage, ahead: bytes):
    ends = tunnel(stage, ahead)
    drain(stage)

    assert ends.client.end() == "reset"
    assert bytes(ends.client.record).endswith(ahead)
    assert bytes(ends.client.record).count(LEAVE) == 0


def test_a_client_that_closed_for_sending_is_told_too(stage: Stage):
    witness, ends = tunnel(stage), tunnel(stage)
    ends.client.end_sending()
    assert ends.side.rest() == b""
    drain(stage, witness)

    assert ends.client.exactly(len(LEAVE)) == LEAVE
    ends.side.send(frame(b"too late"))
    ends.side.close()
    assert ends.client.rest() == b""


def test_a_client_that_sends_nothing_more_is_told_and_left_in_order(stage: Stage):
    ends = tunnel(stage)
    ends.client.end_sending()
    assert ends.side.rest() == b""
    begin_drain(stage)

    assert ends.client.rest() == LEAVE
    assert ends.side.end() == "closed"


def test_a_tunnel_that_opens_while_its_endpoint_drains_ends_in_the_same_way(stage: Stage):
    client, side, _ = stage.ask(HANDSHAKE)
    begin_drain(stage)
    side.send(SWITCH)

    assert client.head().status == 101
    assert client.exactly(len(LEAVE)) == LEAVE
    end(Ends(client, side))
    assert stage.counts().attempts == {"ok": 1}


def test_an_answer_that_begins_while_its_endpoint_drains_and_does_not_end_is_cut_off(stage: Stage):
    client, side, _ = stage.ask(GET)
    begin_drain(stage)
    side.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")

    assert client.head().status == 200
    assert client.chunk() == b"x"
    assert client.end() == "reset"
    assert stage.counts().reasons == {"draining": 1}


IDLE = Timeouts(tunnel=0.2)


def test_of_an_idle_tunnel_both_sides_are_told_and_both_connections_end_in_order(stage: Stage):
    stage.serve(timeouts=IDLE)
    ends = tunnel(stage, frame(b"hello"))

    assert ends.client.rest() == frame(b"hello") + LEAVE
    close = ends.side.rest()
    assert close[:2] == bytes([128 | CLOSE, 128 | 2])
    assert unmask(close[6:], close[2:6]) == GOING_AWAY
    counts = stage.counts()
    assert (counts.requests, counts.attempts) == ({101: 1}, {"ok": 1})


def test_what_the_client_of_an_idle_tunnel_answers_reaches_the_upstream(stage: Stage):
    stage.serve(timeouts=IDLE)
    ends = tunnel(stage)

    assert ends.client.exactly(len(LEAVE)) == LEAVE
    end(ends)


def test_an_idle_tunnel_in_the_middle_of_a_frame_is_cut_off(stage: Stage):
    stage.serve(timeouts=IDLE)
    begun = frame(b"whole")[:-1]
    ends = tunnel(stage, begun)

    assert ends.client.end() == "reset"
    assert bytes(ends.client.record).endswith(begun)


def test_a_client_that_reads_slowly_gets_all_that_was_before_the_close(stage: Stage):
    stage.upstream = stage.new_upstream()
    stage.serve()
    client = stage.client(narrow=True)
    client, side, _ = stage.ask(HANDSHAKE, client)
    side.send(SWITCH)
    client.head()
    said = frame(bytes(120_000), BINARY)
    side.send(said)
    eventually(lambda: not side.has_unread())
    drain(stage)

    assert client.exactly(len(said)) == said
    assert client.exactly(len(LEAVE)) == LEAVE
    end(Ends(client, side))
