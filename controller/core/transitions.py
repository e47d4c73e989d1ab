"""The state machine of a rollout: one table, and what each event does besides.

Owns `TABLE` and `apply`. Must not decide which event comes (`controller.core.decide`, `controller.core.orders`).

1. A pair that is not in the table is refused, with its names. There is no other way to change a rollout.
2. The clock of a step runs exactly while the phase is `step`, the proxies serve what is wanted, and the endpoints of a
   rolling rollout are where they should be.
3. What is wanted of the proxies changes only together with `intent`, and an intent is only applied once.
4. No event is older than the one before it.

The phases, without what stays in its phase:

    pending → preparing → step ⇄ paused | holding | frozen → finishing → promoted
    everything but rolled_back → rolling_back → rolled_back → pending (another attempt)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from controller.core.events import Event, Kind
from controller.core.model import Ordered, Phase, Rollout, Unit
from controller.core.units import PLACED, batch, moved, tried_again

#: As long as a proxy has it.
SALT_BYTES: Final = 16

_BACK: Final[Mapping[Kind, Phase]] = {"turned_back": "rolling_back", "aborted": "rolling_back"}
_ON: Final[Mapping[Kind, Phase]] = {"advanced": "step", "concluded": "finishing"}

#: From a phase by an event to a phase.
TABLE: Final[Mapping[Phase, Mapping[Kind, Phase]]] = {
    "pending": {"began": "preparing", "turned_back": "rolled_back", "aborted": "rolled_back"},
    "preparing": {"applied": "preparing", "failed": "preparing", "prepared": "step", **_BACK},
    "step": {
        **{"applied": "step", "slipped": "step", "missed": "step", "moved": "step", "failed": "step"},
        **{"paused": "paused", "held": "holding", "froze": "frozen"},
        **_ON,
        **_BACK,
    },
    "paused": {
        **{"applied": "paused", "moved": "paused", "failed": "paused"},
        **{"resumed": "step", "held": "holding"},
        **_ON,
        **_BACK,
    },
    "holding": {
        **{"applied": "holding", "moved": "holding", "failed": "holding", "overstayed": "holding"},
        "resumed": "step",
        **_ON,
        **_BACK,
    },
    "frozen": {
        **{"applied": "frozen", "moved": "frozen", "failed": "frozen", "retreated": "frozen"},
        **{"thawed": "step", "paused": "paused", "held": "holding"},
        **_ON,
        **_BACK,
    },
    "finishing": {"applied": "finishing", "failed": "finishing", "held": "holding", "completed": "promoted", **_BACK},
    "promoted": {"sealed": "promoted", "aborted": "rolling_back"},
    "rolling_back": {"applied": "rolling_back", "moved": "rolling_back", "restored": "rolled_back"},
    "rolled_back": {"retried": "pending"},
}


class IllegalTransition(Exception):
    """An event that cannot happen in this phase; the text names both."""

    def __init__(self, rollout: Rollout, kind: Kind) -> None:
        allowed = ", ".join(TABLE[rollout.phase])
        super().__init__(f"{rollout.id} is {rollout.phase}, where {kind!r} cannot happen; what can is: {allowed}")


class BadClock(Exception):
    """An event that would be older than the one before it, or of no time at all."""


def create(identity: str, event: Event) -> Rollout:
    """The rollout that a `created` event makes. Raises ValueError for any other event."""
    if event.kind != "created" or event.policy is None:
        raise ValueError(f"{identity} begins with {event.kind!r}, not with a 'created' that has a policy")
    return Rollout(
        id=identity,
        service=event.service,
        policy=event.policy,
        at=event.at,
        entered_at=event.at,
        why=event.why,
        by=event.by,
        ordered=_ordered(event),
        judged_since=event.at,
    )


def apply(rollout: Rollout, event: Event) -> Rollout:
    """The rollout after an event.

    Raises:
        IllegalTransition: it cannot happen in this phase.
        BadClock: its instant cannot be.
    """
    phase = TABLE[rollout.phase].get(event.kind)
    if phase is None:
        raise IllegalTransition(rollout, event.kind)
    if not (math.isfinite(event.at) and event.at >= rollout.at):
        raise BadClock(f"{event.kind!r} at {event.at} cannot follow on {rollout!r} at {rollout.at}")
    effect = _EFFECTS.get(event.kind)
    changed = effect(rollout, event) if effect else rollout
    is_new_phase = phase != rollout.phase or event.kind == "advanced"
    changed = replace(
        changed,
        phase=phase,
        at=event.at,
        entered_at=event.at if is_new_phase else rollout.entered_at,
        why=event.why or rollout.why,
        by=event.by if event.why else rollout.by,
        ordered=_ordered(event) or rollout.ordered,
    )
    return _with_clock(changed)


def _ordered(event: Event) -> Ordered | None:
    """What a person has wanted, if it was one."""
    return Ordered(event.kind, event.by, event.actor, event.reason, event.at) if event.by else None


def wants_anew(rollout: Rollout) -> Rollout:
    """The rollout with something new that the proxies have to acknowledge."""
    return replace(rollout, intent=rollout.intent + 1, applied_at=None)


def _with_clock(rollout: Rollout) -> Rollout:
    """Let the clock run or stand still, see rule 2."""
    runs = rollout.phase == "step" and rollout.is_applied and all(unit.stage == "new" for unit in batch(rollout))
    if runs and rollout.runs_since is None:
        return replace(rollout, runs_since=rollout.at)
    if not runs and rollout.runs_since is not None:
        return replace(rollout, ran=rollout.elapsed(rollout.at), runs_since=None)
    return rollout


def _step_anew(rollout: Rollout, step: int) -> Rollout:
    """A step at its beginning."""
    return wants_anew(replace(rollout, step=step, ran=0.0, runs_since=None, deadline=None, retreated=False))


def _pardoned(rollout: Rollout, event: Event) -> Rollout:
    """Only a person takes failures away: from their word on, the checks judge afresh."""
    return replace(rollout, failed=(), judged_since=event.at) if rollout.failed and event.by else rollout


def _begin(rollout: Rollout, event: Event) -> Rollout:
    salt = hashlib.blake2b(f"{rollout.id} {rollout.attempt} {event.at!r}".encode(), digest_size=SALT_BYTES).hexdigest()
    return wants_anew(replace(rollout, salt=salt))


def _prepare(rollout: Rollout, event: Event) -> Rollout:
    units = tuple(Unit(address, since=event.at) for address in event.addresses)
    return replace(_step_anew(rollout, 0), units=units, judged_since=event.at)


def _acknowledge(rollout: Rollout, event: Event) -> Rollout:
    return replace(rollout, applied_at=event.at, generations=dict(event.generations))


def _slip(rollout: Rollout, event: Event) -> Rollout:
    return wants_anew(rollout)


def _advance(rollout: Rollout, event: Event) -> Rollout:
    return _step_anew(_pardoned(rollout, event), rollout.step + 1)


def _conclude(rollout: Rollout, event: Event) -> Rollout:
    return replace(wants_anew(_pardoned(rollout, event)), deadline=None, retreated=False)


def _resume(rollout: Rollout, event: Event) -> Rollout:
    pardoned = _pardoned(rollout, event)
    if rollout.retreated:
        return _step_anew(pardoned, 0)
    if rollout.phase == "holding":
        return tried_again(_step_anew(pardoned, rollout.step), event.at)
    return wants_anew(pardoned)  # somebody may have changed the split in the meantime


def _hold(rollout: Rollout, event: Event) -> Rollout:
    return replace(wants_anew(rollout), deadline=event.at + rollout.policy.hold.investigate)


def _overstay(rollout: Rollout, event: Event) -> Rollout:
    return replace(rollout, deadline=None)


def _retreat(rollout: Rollout, event: Event) -> Rollout:
    return replace(wants_anew(rollout), retreated=True, retreats=rollout.retreats + 1)


def _thaw(rollout: Rollout, event: Event) -> Rollout:
    return replace(_step_anew(rollout, 0), judged_since=event.at) if rollout.retreated else rollout


def _fail(rollout: Rollout, event: Event) -> Rollout:
    return replace(rollout, failed=(*rollout.failed, event.check))


def _turn_back(rollout: Rollout, event: Event) -> Rollout:
    return replace(wants_anew(rollout), deadline=None, retreated=False)


def _retry(rollout: Rollout, event: Event) -> Rollout:
    """The next attempt begins as a new rollout does; numbers that must not come again go on."""
    return replace(
        create(rollout.id, Event("created", event.at, policy=rollout.policy, service=rollout.service)),
        attempt=rollout.attempt + 1,
        intent=rollout.intent,
        runs=rollout.runs,
    )


def _seal(rollout: Rollout, event: Event) -> Rollout:
    return replace(rollout, sealed=True)


def _miss(rollout: Rollout, event: Event) -> Rollout:
    """Take time that nobody watched off the clock."""
    if rollout.runs_since is None:
        return rollout
    return replace(rollout, runs_since=min(event.at, rollout.runs_since + event.seconds))


def _move(rollout: Rollout, event: Event) -> Rollout:
    changed = moved(rollout, event)
    return wants_anew(changed) if event.stage in PLACED else changed


_EFFECTS: Final[Mapping[Kind, Callable[[Rollout, Event], Rollout]]] = {
    "began": _begin,
    "prepared": _prepare,
    "applied": _acknowledge,
    "slipped": _slip,
    "advanced": _advance,
    "concluded": _conclude,
    "resumed": _resume,
    "held": _hold,
    "overstayed": _overstay,
    "retreated": _retreat,
    "thawed": _thaw,
    "failed": _fail,
    "turned_back": _turn_back,
    "aborted": _turn_back,
    "retried": _retry,
    "sealed": _seal,
    "missed": _miss,
    "moved": _move,
}
