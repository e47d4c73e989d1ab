"""The endpoints of a rolling rollout as they get from the old version to the new one, or back.

Owns what an event does to them. Must not decide when they move (`controller.core.rolling`).

1. The endpoints of one step move together; there are at most `max_unavailable` of them.
2. Every run of the deploy hook has a number of its own within the rollout, so that none is made twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from config.model import RollingRollout
from controller.core.events import Event
from controller.core.model import Rollout, Stage, Unit

#: Where an endpoint gets to by a run of the hook.
DEPLOYING: Final[frozenset[Stage]] = frozenset({"deploying", "reverting"})
#: Where the proxies have to be told something.
PLACED: Final[frozenset[Stage]] = frozenset({"draining", "joining", "new", "leaving", "returning", "old"})


def batch(rollout: Rollout) -> tuple[Unit, ...]:
    """The endpoints that the current step is about; other strategies have none."""
    if not isinstance(rollout.policy, RollingRollout):
        return ()
    size = rollout.policy.max_unavailable
    return rollout.units[rollout.step * size : (rollout.step + 1) * size]


def moved(rollout: Rollout, event: Event) -> Rollout:
    """The rollout with the endpoints of a `moved` event in their new stage."""
    assert event.stage is not None
    begins_run = event.stage in DEPLOYING
    units, runs = [], rollout.runs
    for unit in rollout.units:
        if unit.address in event.addresses:
            runs += begins_run
            unit = Unit(unit.address, event.stage, event.at, runs if begins_run else unit.run)
        units.append(unit)
    return replace(rollout, units=tuple(units), runs=runs)


def tried_again(rollout: Rollout, at: float) -> Rollout:
    """The rollout in which endpoints that were stuck begin their stage again."""
    for stage in ("deploying", "joining"):
        stuck = tuple(unit.address for unit in rollout.units if unit.stage == stage)
        rollout = moved(rollout, Event("moved", at, addresses=stuck, stage=stage))
    return rollout
