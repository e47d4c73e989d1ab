"""What canary and blue-green have in common: two pools of endpoints that nobody moves.

Owns the parts of a strategy that are the same for both.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.actions import RunDeploy
from controller.core.events import Event
from controller.core.model import Rollout
from controller.core.observed import Seen


class NothingToMove:
    """The part of a strategy that moves no endpoints."""

    def turns_back_by_itself(self, rollout: Rollout) -> bool:
        """A split needs nobody's hands."""
        return True

    def addresses(self, rollout: Rollout, seen: Seen) -> tuple[str, ...]:
        """None."""
        return ()

    def progress(self, rollout: Rollout, seen: Seen, now: float) -> Event | str:
        """Nothing is waited for."""
        return ""

    def runs(self, rollout: Rollout, seen: Seen) -> Sequence[RunDeploy]:
        """None."""
        return ()

    def is_restored(self, rollout: Rollout) -> bool:
        """As soon as the split is."""
        return True


def usable_endpoint_missing(rollout: Rollout, seen: Seen) -> str:
    """Which proxy has no usable endpoint of the new version; empty when all have one."""
    for name, proxy in seen.proxies.items():
        endpoints = proxy.endpoints.get(rollout.new, {})
        if not any(endpoint.state == "up" and endpoint.healthy for endpoint in endpoints.values()):
            detail = next((f": {endpoint.detail}" for endpoint in endpoints.values() if endpoint.detail), "")
            return f"waits for a usable endpoint of {rollout.new} at {name}{detail}"
    return ""
