"""What a strategy has to say: how far it goes, what each step needs, and what is wanted of the proxies.

Owns the protocol, and which strategy a policy asks for. Must not decide on transitions (`controller.core.decide`).

1. A strategy is a function of the rollout's state and what is seen; it remembers nothing.
2. The weights that it wants always have a positive sum, and those of canary and blue-green add up to 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from config.model import BlueGreenRollout, CanaryRollout
from controller.core.actions import Action, RunDeploy
from controller.core.bluegreen import BlueGreen
from controller.core.canary import Canary
from controller.core.events import Event
from controller.core.model import Policy, Rollout, Split
from controller.core.observed import Seen
from controller.core.rolling import Rolling

Need = Literal["evidence", "traffic", "time", "person"]
"""What a step needs besides its bake before the next one: that every check passes; that there was something to see and
nothing failed; nothing more; or a person's word."""


class Strategy(Protocol):
    """One way from the old version to the new one."""

    def last_step(self, rollout: Rollout) -> int:
        """The index of the last step."""

    def bake(self, step: int) -> float:
        """The shortest time of a step, seconds."""

    def longest(self, step: int) -> float:
        """The longest time of a step without what it needs, seconds."""

    def need(self, step: int) -> Need:
        """What a step needs besides its bake."""

    def next_share(self, rollout: Rollout) -> float | None:
        """The new version's share after the next step, None when that exposes nobody further."""

    def retreats(self) -> bool:
        """Whether it takes the new version out when that may be the cause of an outage."""

    def turns_back_by_itself(self, rollout: Rollout) -> bool:
        """Whether a rollback needs nobody's hands."""

    def split(self, rollout: Rollout) -> Split:
        """How the requests should be dealt now."""

    def actions(self, rollout: Rollout, seen: Seen) -> Sequence[Action]:
        """What has to be done on the proxies so that everything is as it should be; the split comes last."""

    def runs(self, rollout: Rollout, seen: Seen) -> Sequence[RunDeploy]:
        """The runs of the deploy hook that are wanted and have not ended."""

    def obstacle(self, rollout: Rollout, seen: Seen) -> str:
        """Why the first step cannot begin; empty when it can."""

    def addresses(self, rollout: Rollout, seen: Seen) -> tuple[str, ...]:
        """The endpoints that are moved one after the other; empty when none are."""

    def progress(self, rollout: Rollout, seen: Seen, now: float) -> Event | str:
        """The next move of endpoints or the failure to make it, or what is waited for; empty when nothing is."""

    def is_restored(self, rollout: Rollout) -> bool:
        """Whether a rollback that the proxies have acknowledged is complete."""


def strategy_of(policy: Policy) -> Strategy:
    """The strategy that a policy asks for."""
    if isinstance(policy, CanaryRollout):
        return Canary(policy)
    if isinstance(policy, BlueGreenRollout):
        return BlueGreen(policy)
    return Rolling(policy)
