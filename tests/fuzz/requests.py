"""What must hold for whatever a client sends.

1. It does not matter how the bytes were cut.
2. Whatever is forwarded is read alike by h11, by llhttp and by a strict reading: the same requests, with the same ends.
3. They are what the client said: method, target, host, the fields that pass, body, trailers.
4. The client gets answers that are well-formed, and as many of them as there were requests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import h11

from proxy.core.snapshot import Endpoint, Route, Service, Settings, Snapshot, Version
from tests.fuzz.reading import Meant, cut, read_message
from tests.fuzz.scene import Scene
from tests.support.corpus import Recorded
from tests.support.oracles import Read, read_by_h11, read_by_httptools
from tests.support.passing import other_cookies, passed, passes
from tests.support.peers import Message, Pair
from tests.support.random_messages import KNOWN_METHODS

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#: Small, so that small inputs reach what is beyond them.
SETTINGS = Settings(request_line=300, head=1000, headers=20, trailers=300, response_head=1000)
SNAPSHOT = Snapshot(
    1,
    (
        Service(
            "shop",
            (Version("v1", 1, (Endpoint("127.0.0.1:9", 1, (("inet", "127.0.0.1", 9),)),)),),
            (1.0,),
            0,
            ejection=None,
            fresh_after=0.0,  # the clock stands still, and the scene has no kernel that could connect once more
        ),
    ),
    (Route("shop"),),
)


@dataclass(frozen=True)
class Verdict:
    """What became of an input, without how it was cut. `forwarded`: the requests that arrived whole."""

    statuses: tuple[int, ...]
    ending: str
    forwarded: tuple[Message, ...]


class Requests:
    """The property, as a function of what a client sends."""

    def __init__(self) -> None:
        self._scene = Scene(SETTINGS, SNAPSHOT)

    def check(self, text: bytes) -> Verdict:
        """Raises AssertionError when something does not hold; anything else that is raised was raised by the proxy."""
        verdict, records = self._play([text])
        for record in records:
            check_readers(record)
        check_meaning(text, verdict.forwarded)
        check_cuts(text, verdict, lambda parts: self._play(parts)[0])
        return verdict

    def _play(self, parts: list[bytes]) -> tuple[Verdict, list[bytes]]:
        got, ending, records = self._scene.request(parts, ANSWER)
        statuses = tuple(answer.message.status for answer in whole_messages(got)[0])
        forwarded = tuple(sent.message for record in records for sent in whole_messages(record)[0])
        assert statuses.count(200) == len(forwarded)
        return Verdict(statuses, ending, forwarded), records


def check_cuts(text: bytes, verdict: object, play: Callable[[list[bytes]], object]) -> None:
    """The verdict is the same when the text comes in parts.

    A fault in a line that has no end yet may be seen only when that comes: such a text is compared with an end.
    """
    if play(cut(text)) != verdict:
        assert not text.endswith(b"\n"), "it matters how the bytes are cut"
        ended = text + b"\r\n"
        assert play(cut(ended)) == play([ended]), "it matters how the bytes are cut, when the line is ended"


class Sent(NamedTuple):
    """A message that is whole, and its bytes."""

    message: Message
    text: bytes


@lru_cache(4096)
def whole_messages(record: bytes) -> tuple[tuple[Sent, ...], bytes]:
    """The messages of a record, and what follows the last whole one."""
    messages = []
    while record:
        reader = Recorded(record)
        try:
            message = reader.message()
        except ConnectionError:
            break
        size = len(record) - reader.unread()
        messages.append(Sent(message, record[:size]))
        record = record[size:]
    return tuple(messages), record


@lru_cache(4096)
def check_readers(record: bytes) -> None:
    """All read the same in what was forwarded on one connection, and there is no fault in a message that has no end."""
    messages, rest = whole_messages(record)
    for message, text in messages:
        read = Read(message.line, list(message.fields), message.body, list(message.trailers))
        assert read_by_h11(text) == read
        if message.line.split(b" ")[0] in KNOWN_METHODS:
            assert read_by_httptools(text) == read
    if rest:
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(rest)
        while (event := reader.next_event()) is not h11.NEED_DATA:
            assert isinstance(event, h11.Request | h11.Data), event


def check_meaning(text: bytes, forwarded: tuple[Message, ...]) -> None:
    """Each is what the client said, in its order; what we answer ourselves is in between."""
    at = 0
    for message in forwarded:
        meant = read_message(text, _behind_empty_line(text, at))
        while _is_for_us(meant):
            meant = read_message(text, _behind_empty_line(text, meant.end))
        at = meant.end
        method, target, version = meant.start.split(b" ")
        assert message.line == b"%b %b HTTP/1.1" % (method, _origin_form(target))
        assert message.body == meant.body
        assert message.one(b"Host") == _host(target, meant)
        assert passed(message) == _expected(meant, version)
        assert all(pair in meant.trailers for pair in message.trailers)


def _behind_empty_line(text: bytes, at: int) -> int:
    return at + 2 if text[at : at + 2] == b"\r\n" else at


def _is_for_us(meant: Meant) -> bool:
    """Is it answered by the proxy itself: it may go no further, or does not say how far?"""
    method, target, _ = meant.start.split(b" ")
    limit = meant.values(b"max-forwards")
    passes = len(limit) == 1 and limit[0].isdigit() and int(limit[0]) > 0
    return method == b"OPTIONS" and (_is_asterisk(target) or (bool(limit) and not passes))


def _is_asterisk(target: bytes) -> bool:
    return target == b"*" or (_split(target) is not None and _origin_form(target) == b"/" and not target.endswith(b"/"))


def _split(target: bytes) -> tuple[bytes, bytes] | None:
    """Authority and rest of an absolute form."""
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        return None
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    return rest[:end], rest[end:]


def _origin_form(target: bytes) -> bytes:
    absolute = _split(target)
    if absolute is None:
        return target
    return absolute[1] if absolute[1].startswith(b"/") else b"/" + absolute[1]


def _host(target: bytes, meant: Meant) -> bytes:
    absolute = _split(target)
    return absolute[0] if absolute is not None else (meant.values(b"host") or [b""])[0]


def _expected(meant: Meant, version: bytes) -> list[Pair]:
    expected = []
    for name, value in meant.fields:
        if name.lower() == b"expect" and version == b"HTTP/1.0":
            continue  # RFC 9110 section 10.1.1: "MUST ignore that expectation"
        if not passes((name, value), meant.fields, meant.chunked):
            continue
        if name.lower() == b"cookie" and b"serinus_" in value:
            name, value = b"Cookie", other_cookies(value)
            if not value:
                continue
        expected.append((name, value))
    if meant.start.startswith(b"OPTIONS "):
        expected = [pair for pair in expected if pair[0].lower() != b"max-forwards"]
        expected += [
            (b"Max-Forwards", b"%d" % (min(int(value), 2**63 - 1) - 1)) for value in meant.values(b"max-forwards")
        ]
    return expected
