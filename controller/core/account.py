"""The account of a rollout: what happened to it, as it is told to people, and what was wanted when.

Owns the sentences about a rollout as a whole, and which of its events are of note. Must not draw or print: `why`, the
report and the dashboard all tell this account.

1. It comes from the journal's events alone, by applying them again, so that it is the same whenever it is asked for.
2. A decision that wanted something of the proxies is told together with their acknowledgement.

Units: instants in seconds of the rollout clock, except `wall` (since 1970); shares from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from controller.core.events import Event, Kind
from controller.core.model import Phase, Rollout
from controller.core.strategy import strategy_of
from controller.core.transitions import apply, create

#: Events that say nothing to people who ask why.
MINOR: Final[frozenset[Kind]] = frozenset({"applied", "moved", "missed", "slipped", "sealed"})
_HALTED: Final[frozenset[Phase]] = frozenset({"paused", "holding", "frozen"})

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Happening:
    """An event as the journal has it."""

    n: int
    wall: float
    event: Event


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that happened, with what came of it."""

    n: int
    wall: float
    event: Event
    share: float
    """What the new version should have of the requests from then on."""
    generations: Mapping[str, int] = field(default_factory=dict)
    """What each proxy served when it had acknowledged that."""
    waited: float | None = None
    """How long that took, seconds; None when nothing had to be acknowledged, or is yet."""

    @property
    def is_minor(self) -> bool:
        """Whether it says nothing to people who ask why."""
        return self.event.kind in MINOR

    @property
    def words(self) -> str:
        """What happened, in one or two words."""
        return self.event.kind.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Stretch:
    """One step of the last attempt."""

    label: str
    state: Literal["done", "now", "failed", "ahead"]
    seconds: float
    """How long it took, or has taken."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A time in which the clock of a step stood still: paused, holding or frozen. `end` is None while it lasts."""

    phase: Phase
    begin: float
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that happened to a rollout, in order."""

    rollout: Rollout
    told: tuple[Told, ...]
    began: float
    """When its turn had come; when it was created, as long as that is not so."""
    has_begun: bool
    steps: tuple[Stretch, ...]
    shares: tuple[tuple[float, float], ...]
    """What the new version should have of the requests, and since when; the first one is what it began with."""
    halts: tuple[Halt, ...] = ()

    @property
    def began_wall(self) -> float:
        """The time of day of `began`."""
        return next(each.wall for each in self.told if each.event.at >= self.began)

    def end(self, now: float) -> float:
        """When it ended; now, as long as it has not."""
        return self.rollout.entered_at if self.rollout.has_ended else max(now, self.rollout.at)

    def share_at(self, at: float) -> float:
        """What the new version should have had of the requests at an instant."""
        return next((share for since, share in reversed(self.shares) if since <= at), self.shares[0][1])

    def outcome(self, now: float) -> str:
        """What became of it, in one plain sentence without its full stop."""
        rollout, taken = self.rollout, spoken(self.end(now) - self.began)
        new, place = f"{rollout.new} of {rollout.service}", f"step {rollout.step + 1} of {max(len(self.steps), 1)}"
        match rollout.phase:
            case "promoted":
                return f"{new} was promoted after {taken}"
            case "rolled_back":
                return f"{new} was rolled back after {taken}" if self.has_begun else f"{new} was not started"
            case "rolling_back":
                return f"{new} is being rolled back"
            case "pending" | "preparing":
                return f"{new} waits for {'its turn' if rollout.phase == 'pending' else 'its first step'}"
            case "finishing":
                return f"{new} is given everything"
            case "step":
                return f"{new} is in {place}"
            case _:
                return f"{new} is {rollout.place} in {place}"

    @property
    def reason(self) -> str:
        """Why it is so, as the last decision that gave a reason said."""
        return self.rollout.why


def account_of(identity: str, happenings: Iterable[Happening]) -> Account:
    """The account of a rollout with these events, of which the first one creates it.

    Raises:
        IllegalTransition, BadClock, ValueError: they cannot have happened.
    """
    first, *rest = happenings
    rollout = create(identity, first.event)
    told = [Told(first.n, first.wall, first.event, _share(rollout))]
    asked: int | None = None
    visits, halts = _Visits(), list[Halt]()
    began = [each.event.at for each in rest if each.event.kind == "began"]
    for each in rest:
        before, rollout = rollout, apply(rollout, each.event)
        visits.note(before, rollout)
        if rollout.phase != before.phase:
            _note_halt(halts, rollout)
        told.append(Told(each.n, each.wall, each.event, _share(rollout)))
        if rollout.intent != before.intent:
            asked = len(told) - 1
        elif each.event.kind == "applied" and asked is not None:
            waited = each.event.at - told[asked].event.at
            told[asked] = replace(told[asked], generations=each.event.generations, waited=waited)
            asked = None
    steps = tuple(visits.stretch(rollout, step) for step in range(strategy_of(rollout.policy).last_step(rollout) + 1))
    begin = began[0] if began else first.event.at
    return Account(rollout, tuple(told), begin, bool(began), steps, tuple(_changes(told)), tuple(halts))


def spoken(seconds: float) -> str:
    """A duration as people say it: "3 s", "4 min 12 s", "2 h 5 min"."""
    left = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


class _Visits:
    """How long the last attempt was in each of its steps."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def note(self, before: Rollout, after: Rollout) -> None:
        """Something has happened."""
        if after.attempt != before.attempt:
            self._seconds = {}
        if _is_in_step(before):
            self._seconds[before.step] = self._seconds.get(before.step, 0.0) + after.at - before.at
        if _is_in_step(after):
            self._seconds.setdefault(after.step, 0.0)

    def stretch(self, rollout: Rollout, step: int) -> Stretch:
        """One step."""
        seconds = self._seconds.get(step, 0.0)
        if step not in self._seconds:
            return Stretch(_label(rollout, step), "ahead", 0.0)
        if step < rollout.step or rollout.phase in ("finishing", "promoted"):
            return Stretch(_label(rollout, step), "done", seconds)
        is_back = rollout.phase in ("rolling_back", "rolled_back")
        return Stretch(_label(rollout, step), "failed" if is_back else "now", seconds)


def _changes(told: Iterable[Told]) -> Iterator[tuple[float, float]]:
    before: float | None = None
    for each in told:
        if each.share != before:
            yield each.event.at, each.share
        before = each.share


def _note_halt(halts: list[Halt], rollout: Rollout) -> None:
    """A rollout has come to another phase: the halt before it is over, and one may begin."""
    if halts and halts[-1].end is None:
        halts[-1] = replace(halts[-1], end=rollout.at)
    if rollout.phase in _HALTED:
        halts.append(Halt(rollout.phase, rollout.at))


def _is_in_step(rollout: Rollout) -> bool:
    return rollout.phase in ("step", "paused", "holding", "frozen")


def _label(rollout: Rollout, step: int) -> str:
    match rollout.policy.strategy:
        case "rolling":
            return f"part {step + 1}"
        case "blue-green":
            return "switched"
        case _:
            there = replace(rollout, phase="step", step=step, retreated=False)
            return f"{round(100 * _share(there), 2):g} %"


def _share(rollout: Rollout) -> float:
    return strategy_of(rollout.policy).split(rollout).share(rollout.new)
