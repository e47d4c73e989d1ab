"""What came of one technique at one server, and whether it is a fault.

Owns: the rules. Must not: read files or sockets. The rules are those of the package's docstring; each breach is one
sentence, and a cell without any is good.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.smuggling.client import Answer, Heard
from loadtests.smuggling.ours import Logged
from loadtests.smuggling.techniques.parts import Technique
from loadtests.smuggling.upstreams import Event, Refused, Seen

_NUMBERED = re.compile(r"/(?P<code>[a-z]{2})/(?P<kind>attack|early|hidden|follow|next)/(?P<number>\d{3})")
_CLIENT = "127.0.0.1"


@dataclass(slots=True)
class Happened:
    """All that is known of one technique at one server. `asked` are the next clients' identifiers and answers."""

    technique: Technique
    began: float  # seconds of the epoch
    heard: Heard
    asked: Mapping[str, Answer | None]
    logged: list[Logged] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cell:
    """What the matrix shows. `status`: of the first answer, 0: none. `passed`: how many requests the server got."""

    status: int
    passed: int
    is_met: bool  # did a next client's request come by the same connection of the server?
    breaches: tuple[str, ...]
    note: str = ""  # what to show in its place

    @property
    def is_smuggled(self) -> bool:
        """Whether anything of it is a fault of ours."""
        return bool(self.breaches)

    @property
    def text(self) -> str:
        """In a word or two."""
        if self.is_smuggled:
            return "SMUGGLED"
        if self.note:
            return self.note
        if self.passed:
            return "one" if self.passed == 1 else f"{self.passed} as {self.passed}"
        return str(self.status) if self.status else "closed"


def number_in(text: str) -> int:
    """The number of the technique that a target, or a text with one in it, belongs to; -1 for none."""
    found = _NUMBERED.search(text)
    return int(found["number"]) if found else -1


def _kind(target: str) -> str | None:
    found = _NUMBERED.search(target)
    return found["kind"] if found else None


def share_out(happened: Mapping[int, Happened], logged: Sequence[Logged], events: Iterable[Event]) -> None:
    """Give each line of our log, and each event of the server, to the technique that it belongs to.

    A number in the target says it; without one, the time: one technique is over before the next one begins.
    """
    numbers = {each.id: number for each in logged if (number := number_in(each.target)) in happened}
    for each in logged:
        if each.id in numbers:
            happened[numbers[each.id]].logged.append(each)
    for event in events:
        number = number_in(event.why if isinstance(event, Refused) else event.target)
        owner = happened[number] if number in happened else _at(event.at, happened)
        if isinstance(event, Refused):
            owner.refused.append(event)
        else:
            owner.seen.append(event)


def _at(when: float, happened: Mapping[int, Happened]) -> Happened:
    """The technique that had begun last. Servers tell the time in whole milliseconds."""
    begun = [each for each in happened.values() if math.floor(each.began * 1000) / 1000 <= when]
    return begun[-1] if begun else next(iter(happened.values()))


def judge(what: Happened) -> Cell:
    """The cell of one technique at one server."""
    others = {"follow", "next"}
    passed = [each for each in what.seen if _kind(each.target) not in others]
    connections = {each.connection for each in passed}
    breaches = (*_unknown(what), *_different(what), *_hidden(what), *_refusals(what), *_answers(what), *_asked(what))
    return Cell(
        status=what.heard.answers[0].status if what.heard.answers else 0,
        passed=len(passed) + len(what.refused),
        is_met=any(each.connection in connections for each in what.seen if _kind(each.target) in others),
        breaches=breaches,
    )


def _unknown(what: Happened) -> Iterator[str]:
    """Requests that the server saw and we did not, or saw more often."""
    known = Counter(each.id for each in what.logged)
    for name, times in Counter(each.id for each in what.seen).items():
        if times > known[name]:
            seen = [f"{each.method} {each.target}" for each in what.seen if each.id == name]
            yield f"the server saw {', '.join(seen)}, we saw {known[name]} of that identifier"


def _different(what: Happened) -> Iterator[str]:
    """Requests that the server understood in another way than we did."""
    ours = {each.id: each for each in what.logged}
    for seen in what.seen:
        meant = ours.get(seen.id)
        if meant is None:
            continue
        # A server may count of a body that was cut off what it likes.
        is_whole = meant.error is None and seen.body is not None
        for name, theirs, our in (
            ("method", seen.method, meant.method),
            ("target", seen.target, meant.target),
            ("host", seen.host, meant.host),
            ("client", seen.client, _CLIENT),
            ("length of the body", seen.body if is_whole else meant.body, meant.body),
        ):
            if theirs != our:
                yield f"{name}: the server understood {theirs!r}, we meant {our!r}"


def _hidden(what: Happened) -> Iterator[str]:
    """A hidden request that is none by the rules, and came through all the same."""
    if not what.technique.pipelined:
        for seen in what.seen:
            if _kind(seen.target) == "hidden":
                yield f"the hidden request came through: {seen.method} {seen.target}"


def _refusals(what: Happened) -> Iterator[str]:
    """Bytes that the server refused. One refusal for each request that we sent and it did not record is our request."""
    unrecorded = sum(each.is_forwarded for each in what.logged) - len(what.seen)
    if len(what.refused) > max(unrecorded, 0):
        yield f"the server refused bytes that are no request of ours: {', '.join(each.why for each in what.refused)}"


def _answers(what: Happened) -> Iterator[str]:
    """Answers on the attacking connection: each to a request that we saw on it, in the order in which they came."""
    kinds = {each.id: _kind(each.target) for each in what.logged}
    order = ("attack", "early", "hidden", "follow")
    got = [kinds.get(answer.id) for answer in what.heard.answers if answer.id is not None]
    if any(kind not in order for kind in got) or got != sorted(got, key=lambda kind: order.index(kind or "")):
        yield f"the client got the answers of {got}"


def _asked(what: Happened) -> Iterator[str]:
    """Next clients: each gets the answer to its own request."""
    for name, answer in what.asked.items():
        if answer is None or answer.id != name:
            yield f"the next client {name} got {answer}"
