"""The book of all rollouts: which there are, which of a service's is the one that acts, the line, the signals.

Owns the entries that it is made of, and the rules between rollouts. Must not know what happens within one.

1. The book is what comes of its entries in their order; the journal keeps these and nothing else.
2. Of the rollouts of a service, one at a time acts. Others are pending, in the order of their numbers.
3. A number is never given twice, even when what had it has been forgotten.
4. A stopped line keeps everything from moving forward. It keeps nothing from going back.

Units: seconds of the rollout clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from config.who import Who
from controller.core.events import Event
from controller.core.model import Policy, Rollout
from controller.core.orders import Refused
from controller.core.transitions import apply, create

IfRunning = Literal["reject", "queue", "supersede"]
#: How many ended rollouts of each service stay in the book.
KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a rollout."""

    rollout: str
    event: Event
    entry: Literal["happened"] = "happened"


@dataclass(frozen=True, slots=True)
class LineChanged:
    """Somebody has stopped everything from moving forward, or let it go on."""

    stopped: bool
    by: str
    reason: str
    at: float
    actor: str = ""
    entry: Literal["line_changed"] = "line_changed"


@dataclass(frozen=True, slots=True)
class SignalRaised:
    """Somebody outside says that customers complain; `until` is None for one that stays until it is cleared."""

    service: str
    check: str
    by: str
    message: str
    at: float
    until: float | None = None
    actor: str = ""
    entry: Literal["signal_raised"] = "signal_raised"


@dataclass(frozen=True, slots=True)
class SignalCleared:
    """A signal is over; an empty check means every one of the service."""

    service: str
    check: str
    by: str
    at: float
    actor: str = ""
    entry: Literal["signal_cleared"] = "signal_cleared"


Entry: TypeAlias = Annotated[Happened | LineChanged | SignalRaised | SignalCleared, Field(discriminator="entry")]

_ENTRY: Final[TypeAdapter[Entry]] = TypeAdapter(Entry)


def entry_to_json(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON, without what has its default; a policy is whole, for a default may change one day."""
    content: dict[str, Any] = _ENTRY.dump_python(entry, mode="json", by_alias=True, exclude_defaults=True)
    if isinstance(entry, Happened) and entry.event.policy is not None:
        content["event"]["policy"] = entry.event.policy.model_dump(mode="json", by_alias=True)
    return {"entry": entry.entry, **content}


def entry_from_json(text: str | bytes) -> Entry:
    """The entry that `entry_to_json` gave, as text. Raises ValueError when it is none."""
    return _ENTRY.validate_json(text)


@dataclass(frozen=True)
class Book:
    """All rollouts, by their ids in the order of their beginning."""

    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    number: int = 0
    """Of the rollout that was created last."""
    line: LineChanged | None = None
    """Set while the line is stopped."""
    signals: Mapping[tuple[str, str], SignalRaised] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rollouts", MappingProxyType(dict(self.rollouts)))
        object.__setattr__(self, "signals", MappingProxyType(dict(self.signals)))

    def with_entry(self, entry: Entry) -> Book:
        """The book with one more entry.

        Raises:
            IllegalTransition, BadClock, ValueError, KeyError: it cannot follow on the entries before it.
        """
        match entry:
            case Happened(rollout=identity, event=event):
                return self._with_event(identity, event)
            case LineChanged(stopped=stopped):
                return replace(self, line=entry if stopped else None)
            case SignalRaised(service=service, check=check):
                return replace(self, signals={**self.signals, (service, check): entry})
            case SignalCleared():
                kept = {key: signal for key, signal in self.signals.items() if not _clears(entry, signal)}
                return replace(self, signals=kept)

    def _with_event(self, identity: str, event: Event) -> Book:
        if event.kind != "created":
            return replace(self, rollouts={**self.rollouts, identity: apply(self.rollouts[identity], event)})
        number = int(identity.rpartition("-")[2])
        if number <= self.number:
            raise ValueError(f"{identity} cannot be created: {self.number} has been given already")
        return replace(self, rollouts={**self.rollouts, identity: create(identity, event)}, number=number)

    def acting(self, service: str) -> Rollout | None:
        """The rollout of a service that is under way; else the pending one whose turn is next."""
        active = [rollout for rollout in self.rollouts.values() if rollout.service == service and not rollout.has_ended]
        begun = [rollout for rollout in active if rollout.phase != "pending"]
        return next(iter([*begun, *active]), None)

    def blocked(self, rollout: Rollout, window: str = "") -> str:
        """Why a rollout may not move forward; `window` is why nobody may, by the calendar."""
        if self.line is not None:
            reason = f": {self.line.reason}" if self.line.reason else ""
            return f"the line is stopped by {Who(self.line.by, self.line.actor)}{reason}"
        acting = self.acting(rollout.service)
        if rollout.phase == "pending" and acting is not None and acting.id != rollout.id:
            return f"waits for {acting.id}, which is {acting.place}"
        return window

    def bad_signals(self, rollout: Rollout, now: float) -> dict[str, SignalRaised]:
        """The signals about a rollout's service that are not over, by their check."""
        return {
            check: signal
            for (service, check), signal in self.signals.items()
            if service == rollout.service and (signal.until is None or now < signal.until)
        }

    def forgettable(self) -> frozenset[str]:
        """The ended rollouts that nobody needs any more."""
        ended: dict[str, list[str]] = {}
        for rollout in self.rollouts.values():
            if rollout.phase == "rolled_back" or rollout.sealed:
                ended.setdefault(rollout.service, []).append(rollout.id)
        return frozenset(identity for ids in ended.values() for identity in ids[:-KEPT])


def start(
    book: Book,
    service: str,
    policy: Policy,
    *,
    by: str,
    reason: str,
    if_running: IfRunning,
    now: float,
    actor: str = "",
) -> list[Happened]:
    """The entries of a new rollout; the last one creates it.

    Raises:
        Refused: the service has one already.
    """
    running = [rollout for rollout in book.rollouts.values() if rollout.service == service and not rollout.has_ended]
    if running and if_running == "reject":
        first = running[0]
        raise Refused(
            f"{service} has the rollout {first.id}, which is {first.place}: "
            "wait for it, abort it, or ask to queue or supersede"
        )
    identity = f"{service}-{book.number + 1}"
    superseded = [rollout for rollout in running if if_running == "supersede" and rollout.phase != "rolling_back"]
    aborted = Event("aborted", now, f"superseded by {identity}", by, actor=actor, reason=reason)
    entries = [Happened(rollout.id, aborted) for rollout in superseded]
    why = f"started by {Who(by, actor)}" + (f": {reason}" if reason else "")
    created = Event("created", now, why, by, policy=policy, service=service, actor=actor, reason=reason)
    return [*entries, Happened(identity, created)]


def sealed_by(book: Book, rollout: Rollout, now: float) -> Iterator[Happened]:
    """What ends for earlier rollouts of the service when one begins: they cannot be taken back any more."""
    for other in book.rollouts.values():
        if other.service == rollout.service and other.phase == "promoted" and not other.sealed:
            yield Happened(other.id, Event("sealed", now, f"{rollout.id} has begun"))


def _clears(entry: SignalCleared, signal: SignalRaised) -> bool:
    return entry.service == signal.service and entry.check in ("", signal.check)
