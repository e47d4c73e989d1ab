"""Canary: more and more traffic for the new version, step by step.

Owns the weights and needs of its steps. Rules: see `controller.core.strategy`.

1. Weights are per cent and add up to 100. All other versions have none: the start sees to that.
2. A hold never raises the weight: it goes down to `hold.to`, or stays where it is below that.
3. During the last step the old version keeps `hold_back`, so that there is something to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from config.model import CanaryRollout
from controller.core.actions import Action, SetSplit
from controller.core.model import Rollout, Split
from controller.core.observed import Seen
from controller.core.pools import NothingToMove, usable_endpoint_missing

if TYPE_CHECKING:
    from controller.core.strategy import Need

#: A step that bakes for no time still waits for evidence this long before it holds, seconds.
LONGEST_WITHOUT_BAKE: Final = 900.0


class Canary(NothingToMove):
    """The strategy for a canary policy."""

    def __init__(self, policy: CanaryRollout) -> None:
        self._policy = policy

    def last_step(self, rollout: Rollout) -> int:
        """The index of the last step."""
        return len(self._policy.steps) - 1

    def bake(self, step: int) -> float:
        """The shortest time of a step, seconds."""
        return self._policy.steps[step].bake

    def longest(self, step: int) -> float:
        """The longest time of a step without what it needs, seconds."""
        return self._policy.steps[step].longest or LONGEST_WITHOUT_BAKE

    def need(self, step: int) -> Need:
        """What a step needs besides its bake. What raises the exposure no further needs no evidence."""
        if self._policy.promote == "manual":
            return "person"
        if self._policy.promote == "time":
            return "time"
        return "evidence" if self._weight(step) < self._weight(step + 1) else "traffic"

    def next_share(self, rollout: Rollout) -> float | None:
        """The new version's share after the next step."""
        ahead = self._weight(rollout.step + 1)
        return ahead / 100 if rollout.phase != "holding" and ahead > self._weight(rollout.step) else None

    def retreats(self) -> bool:
        """A canary does: it is exposed on purpose."""
        return True

    def split(self, rollout: Rollout) -> Split:
        """How the requests should be dealt now."""
        new = self._new_weight(rollout)
        return Split({rollout.old: 100.0 - new, rollout.new: new})

    def actions(self, rollout: Rollout, seen: Seen) -> Sequence[Action]:
        """One split. Each attempt has a salt of its own, so it deals the users anew; every proxy deals them alike."""
        return [SetSplit(self.split(rollout), rollout.salt)]

    def obstacle(self, rollout: Rollout, seen: Seen) -> str:
        """Why the first step cannot begin."""
        return usable_endpoint_missing(rollout, seen)

    def _new_weight(self, rollout: Rollout) -> float:
        if rollout.retreated:
            return 0.0
        match rollout.phase:
            case "step" | "paused" | "frozen":
                return self._weight(rollout.step)
            case "holding":
                return min(self._policy.hold.to, self._weight(rollout.step))
            case "finishing" | "promoted":
                return 100.0
            case _:
                return 0.0

    def _weight(self, step: int) -> float:
        """The weight of a step; past the last one, everything."""
        steps = self._policy.steps
        if step >= len(steps):
            return 100.0
        kept = 100.0 * self._policy.hold_back if step == len(steps) - 1 else 0.0
        return min(steps[step].weight, 100.0 - kept)
