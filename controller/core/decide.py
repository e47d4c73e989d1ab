"""The decision: from where a rollout is and what is seen, to what has happened to it and what is to be done.

Owns which rules a phase has, their order, and the decision's record. A rule belongs to `watching` or `going`.

1. The first rule with an event decides; then the rules of the phase that it leads to are asked, until none has one.
2. A clock that cannot be right decides nothing.
3. What is to be done follows from the state that comes out, not from the events: asking again asks for the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.core import going, watching
from controller.core.actions import Action
from controller.core.events import Event
from controller.core.leasing import lease_actions
from controller.core.model import Phase, Rollout
from controller.core.observed import Seen
from controller.core.situation import Rule, Situation, verdict_to_json
from controller.core.transitions import apply

_FAILURES: Final[tuple[Rule, ...]] = (watching.notice_proxy, watching.note_failure, watching.react)

#: What is asked in each phase, in this order.
RULES: Final[Mapping[Phase, tuple[Rule, ...]]] = {
    "pending": (going.begin,),
    "preparing": (watching.note_failure_before, going.acknowledge, going.prepare),
    "step": (
        watching.miss,
        *_FAILURES,
        going.acknowledge,
        watching.notice_hand,
        watching.notice_outage,
        watching.notice_errors,
        going.progress,
        going.advance,
    ),
    "paused": (*_FAILURES, going.acknowledge, going.progress, going.pause),
    "holding": (*_FAILURES, going.acknowledge, going.progress, watching.overstay),
    "frozen": (*_FAILURES, going.acknowledge, going.progress, watching.thaw),
    "finishing": (*_FAILURES, going.acknowledge, going.complete),
    "promoted": (going.seal,),
    "rolling_back": (going.acknowledge, going.progress, going.restore),
    "rolled_back": (),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, on what, and why; `sentence` says it in words even when nothing has happened."""

    rollout: Rollout
    at: float
    events: tuple[Event, ...]
    actions: tuple[Action, ...]
    sentence: str
    seen: Seen

    def to_json(self) -> dict[str, Any]:
        """What `why` shows of it."""
        return {
            "at": self.at,
            "phase": self.rollout.phase,
            "step": self.rollout.step,
            "events": [event.kind for event in self.events],
            "sentence": self.sentence,
            "verdicts": [verdict_to_json(verdict) for verdict in (*self.seen.before, *self.seen.verdicts)],
            "proxies": {
                name: {"generation": proxy.generation, "weights": dict(proxy.split.weights)}
                for name, proxy in self.seen.proxies.items()
            },
            "lost": dict(self.seen.lost),
        }


def decide(rollout: Rollout, seen: Seen, now: float) -> Decision:
    """Decide on one rollout."""
    if not math.isfinite(now) or now < rollout.at:
        return Decision(rollout, rollout.at, (), (), f"the clock is wrong ({now}): nothing is decided", seen)
    events: list[Event] = []
    while isinstance(found := _ask(Situation(rollout, seen, now)), Event):
        events.append(found)
        rollout = apply(rollout, found)
    sentence = found or rollout.why
    return Decision(rollout, now, tuple(events), tuple(_actions(rollout, seen)), sentence, seen)


def _ask(situation: Situation) -> Event | str:
    """The first event that a rule has, else the first thing that one waits for."""
    waits = ""
    for rule in RULES[situation.rollout.phase]:
        found = rule(situation)
        if isinstance(found, Event):
            return found
        waits = waits or found
    return waits


def _actions(rollout: Rollout, seen: Seen) -> list[Action]:
    strategy = Situation(rollout, seen, rollout.at).strategy
    actions: list[Action] = [*strategy.runs(rollout, seen), *lease_actions(rollout, seen)]
    if not rollout.is_applied and rollout.intent and not rollout.has_ended:
        actions += strategy.actions(rollout, seen)
    return actions
