"""What must hold for whatever an upstream answers.

1. It does not matter how the bytes were cut.
2. What the client gets is read alike by h11, by llhttp and by a strict reading, or its connection is reset.
3. It is what the upstream said (status, reason, the fields that pass, body, trailers), or an answer of ours with 502.

The first byte of an input chooses what was asked.
"""

from dataclasses import dataclass

from tests.fuzz.reading import Meant, read_head, read_message
from tests.fuzz.requests import SETTINGS, SNAPSHOT, check_cuts
from tests.fuzz.scene import Scene
from tests.fuzz.seeds import ASKED
from tests.support.corpus import Recorded
from tests.support.oracles import Read, read_by_h11, read_by_httptools
from tests.support.passing import answer_passes
from tests.support.peers import Message
from tests.support.random_messages import FRAMING

REQUESTS = tuple(ASKED.values())


@dataclass(frozen=True)
class Verdict:
    """What the client got, without how it was cut. `final` is None when the connection was reset."""

    final: Message | None
    rest: bytes = b""  # of a tunnel


class Responses:
    """The property, as a function of a byte that chooses the request, and what the upstream answers."""

    def __init__(self) -> None:
        self._scene = Scene(SETTINGS, SNAPSHOT)

    def check(self, chosen: bytes) -> Verdict:
        """Raises AssertionError when something does not hold; anything else that is raised was raised by the proxy."""
        request, text = REQUESTS[chosen[0] % len(REQUESTS)] if chosen else REQUESTS[0], chosen[1:]
        method = request.split(b" ")[0]
        verdict, got = self._play(request, [text])
        if verdict.final is not None:
            check_readers(got, method, verdict.final)
            if not _is_ours(verdict.final, text):
                check_meaning(text, method, verdict)
        check_cuts(text, verdict, lambda parts: self._play(request, parts)[0])
        return verdict

    def _play(self, request: bytes, parts: list[bytes]) -> tuple[Verdict, bytes]:
        got, ending, _ = self._scene.response(request, parts)
        if ending == "reset":
            return Verdict(None), got
        reader = Recorded(got)
        final = reader.message(to=request.split(b" ")[0])
        while final.status < 200 and final.status != 101:
            final = reader.message(to=request.split(b" ")[0])
        rest = got[len(got) - reader.unread() :]
        assert not rest or final.status == 101, "something follows"
        return Verdict(final, rest), got


def check_readers(got: bytes, method: bytes, final: Message) -> None:
    """All read the same. llhttp is not told what was asked; of 101 and what follows neither is asked."""
    if final.status == 101:
        return
    read = Read(final.line, list(final.fields), final.body, list(final.trailers))
    closed = not final.all(b"Content-Length") and not final.all(b"Transfer-Encoding")
    assert read_by_h11(got, method, closed=closed) == read
    if method != b"HEAD":
        assert read_by_httptools(got, response=True, closed=closed) == read


def check_meaning(text: bytes, method: bytes, verdict: Verdict) -> None:
    """It is the first final response of the upstream."""
    final = verdict.final
    assert final is not None
    at = 0
    while (head := read_head(text, at)).start[9:10] == b"1" and head.start[9:12] != b"101":
        at = head.end
    status = int(head.start[9:12])
    bodiless = method == b"HEAD" or status in (101, 204, 304)
    meant = read_message(text, at, bodiless=bodiless, until_close=True)
    assert final.line == b"HTTP/1.1 %d %b" % (status, head.start[13:])
    assert final.body == meant.body
    assert [pair for pair in final.fields if pair[0].lower() not in FRAMING | _OURS] == _expected(meant, final)
    assert all(pair in meant.trailers for pair in final.trailers)
    if status == 101:
        assert verdict.rest == text[meant.end :]


_OURS = frozenset({b"connection", b"upgrade"})


def _expected(meant: Meant, final: Message) -> list[tuple[bytes, bytes]]:
    chunked = bool(final.all(b"Transfer-Encoding"))
    return [pair for pair in meant.fields if answer_passes(pair, meant.fields, chunked)]


def _is_ours(final: Message, text: bytes) -> bool:
    """Did the proxy answer in the upstream's place?"""
    said = (final.one(b"Proxy-Status") or b"") if final.status in (502, 504) else b""
    return said.startswith(b"serinus; error=") and b"serinus; error=" not in text
