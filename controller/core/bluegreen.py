"""Blue-green: all traffic at once, watched, with an instant way back.

Owns the one step of it. Rules: see `controller.core.strategy`.

1. One version has everything at every moment (pool mode), so the switch is one change on every worker.
2. A hold because of a failure switches back; a hold because nothing is known stays where it is: unknown is not bad.
3. After the switch the old version has no traffic to be compared with, and going on exposes nobody further: the bake
   asks for traffic without a failure, not for evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from config.model import BlueGreenRollout
from controller.core.actions import Action, SetSplit
from controller.core.canary import LONGEST_WITHOUT_BAKE
from controller.core.model import Rollout, Split
from controller.core.observed import Seen
from controller.core.pools import NothingToMove, usable_endpoint_missing

if TYPE_CHECKING:
    from controller.core.strategy import Need


class BlueGreen(NothingToMove):
    """The strategy for a blue-green policy."""

    def __init__(self, policy: BlueGreenRollout) -> None:
        self._policy = policy

    def last_step(self, rollout: Rollout) -> int:
        """There is one step: after the switch."""
        return 0

    def bake(self, step: int) -> float:
        """How long the new version is watched, seconds."""
        return self._policy.bake

    def longest(self, step: int) -> float:
        """How long it is watched without any traffic, seconds."""
        return 3 * self._policy.bake or LONGEST_WITHOUT_BAKE

    def need(self, step: int) -> Need:
        """Traffic, see rule 3."""
        return "traffic"

    def next_share(self, rollout: Rollout) -> float | None:
        """None: going on needs no evidence."""
        return None

    def retreats(self) -> bool:
        """It does: the switch may have caused an outage."""
        return True

    def split(self, rollout: Rollout) -> Split:
        """Which pool has everything now."""
        active = rollout.new if self._is_switched(rollout) else rollout.old
        return Split({version: 100.0 * (version == active) for version in (rollout.old, rollout.new)}, active)

    def actions(self, rollout: Rollout, seen: Seen) -> Sequence[Action]:
        """One switch."""
        return [SetSplit(self.split(rollout))]

    def obstacle(self, rollout: Rollout, seen: Seen) -> str:
        """Why it cannot be switched."""
        return usable_endpoint_missing(rollout, seen)

    def _is_switched(self, rollout: Rollout) -> bool:
        if rollout.retreated or (rollout.phase == "holding" and rollout.failed):
            return False
        return rollout.phase in ("step", "paused", "frozen", "holding", "finishing", "promoted")
