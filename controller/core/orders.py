"""What people order: pause, resume, promote, abort, retry.

Owns what an order means in each phase, and the words of a refusal. Must not change a rollout: what comes of an order is
an event like any other.

1. `abort` is understood in every phase. Where there is nothing to take back it does nothing, however often it comes.
2. A person may go on where the controller would not: out of a hold, an outage, a failed check. They may not while the
   line is stopped or in a freeze window: what raises the new version's traffic waits for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from config.model import RollingRollout
from config.who import Who
from controller.core.events import Event, Kind
from controller.core.model import Rollout, Stage
from controller.core.strategy import strategy_of
from controller.core.transitions import TABLE
from controller.core.units import batch

Verb = Literal["promote", "pause", "resume", "abort", "retry"]
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)

_DONE: Final[Mapping[Verb, Kind]] = {
    "promote": "advanced",
    "pause": "paused",
    "resume": "resumed",
    "abort": "aborted",
    "retry": "retried",
}


class Refused(Exception):
    """An order that makes no sense now; the text says why and what would."""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants; `all_steps` is for promote."""

    verb: Verb
    by: str
    reason: str = ""
    all_steps: bool = False
    actor: str = ""
    """What whoever has the token `by` says of themselves."""


def obey(rollout: Rollout, order: Order, now: float, blocked: str = "") -> Event | None:
    """The event that an order makes, None when there is nothing left to do.

    Raises:
        Refused: not in this phase, or something keeps everybody from it.
    """
    match order.verb:
        case "abort":
            return _abort(rollout, order, now)
        case "pause":
            return None if rollout.phase == "paused" else _checked(rollout, _event("paused", order, now), order)
        case "resume":
            event = _checked(rollout, _event("resumed", order, now), order)
            _refuse_when_blocked(blocked, order, raises=rollout.phase == "holding" or rollout.retreated)
            return event
        case "retry":
            return _checked(rollout, _event("retried", order, now), order)
        case "promote":
            event = _promotion(rollout, order, now)
            _refuse_when_blocked(blocked, order, raises=event.kind != "moved")
            return event


def _abort(rollout: Rollout, order: Order, now: float) -> Event | None:
    if rollout.phase in ("rolling_back", "rolled_back"):
        return None
    if rollout.sealed:
        raise Refused(f"{rollout.id} has ended, and {rollout.old} is not kept for it any more: nothing was changed")
    return _event("aborted", order, now)


def _promotion(rollout: Rollout, order: Order, now: float) -> Event:
    """The next step, the end, or the word that an endpoint has changed where there is no hook."""
    units = batch(rollout) if rollout.phase != "rolling_back" else rollout.units
    if isinstance(rollout.policy, RollingRollout):
        there = [unit for unit in units if unit.stage in ("deploying", "changing", "reverting", "changing_back")]
        if there and rollout.policy.deploy is None:
            stage: Stage = "returning" if rollout.phase == "rolling_back" else "joining"
            return _event("moved", order, now, addresses=tuple(unit.address for unit in there), stage=stage)
        if order.all_steps:
            raise Refused("a rolling rollout goes from endpoint to endpoint: promote takes the next step only")
        if any(unit.stage != "new" for unit in units):
            raise Refused(f"{rollout.id} still moves {', '.join(unit.address for unit in units)}; wait for that")
    is_last = rollout.step >= strategy_of(rollout.policy).last_step(rollout)
    event = _event("concluded" if order.all_steps or is_last else "advanced", order, now)
    return _checked(rollout, event, order)


def _event(kind: Kind, order: Order, now: float, addresses: tuple[str, ...] = (), stage: Stage | None = None) -> Event:
    done = "promoted" if order.verb == "promote" else _DONE[order.verb]
    why = f"{done} by {Who(order.by, order.actor)}" + (f": {order.reason}" if order.reason else "")
    return Event(
        *(kind, now, why, order.by),
        actor=order.actor, reason=order.reason, addresses=addresses, stage=stage,
    )  # fmt: skip


def _checked(rollout: Rollout, event: Event, order: Order) -> Event:
    possible = TABLE[rollout.phase]
    if event.kind in possible:
        return event
    sensible = [verb for verb, kind in _DONE.items() if kind in possible]
    hint = f"; {' or '.join(sensible)} is possible" if sensible else ""
    raise Refused(f"{rollout.id} is {rollout.place}, where there is nothing to {order.verb}{hint}")


def _refuse_when_blocked(blocked: str, order: Order, *, raises: bool) -> None:
    if blocked and raises:
        raise Refused(f"nothing may move forward now, so {order.verb} has to wait: {blocked}")
