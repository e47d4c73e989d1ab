"""The ways into the states of a rollout between two pools that nobody moves: canary and blue-green.

Owns what is the same for these two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.canary_scene import Scene
from tests.support.restarts import Ways
from tests.support.whole_proxy import wait_until


class PoolWays(Ways):
    """From stable to canary."""

    scene: Scene

    @contextmanager
    def unprepared(self) -> Iterator[None]:
        """The new version has no usable endpoint yet."""
        place = self.scene.upstreams.places["canary"]
        self.scene.proxy.admin.set_endpoint_state("shop", "canary", place, "down")
        yield
        self.scene.proxy.admin.set_endpoint_state("shop", "canary", place, "up")

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Let both versions fail."""
        self.scene.upstreams.fail("stable", "canary", errors=0.15)
        yield
        self.scene.upstreams.heal("stable", "canary")

    def has_everything(self, version: str) -> bool:
        """Whether no other version has any weight."""
        return {name for name, weight in self.scene.weights.items() if weight} == {version}

    def leave(self, identity: str) -> None:
        """Give everything back to the stable version."""
        self.order(identity, "abort")
        self.scene.controller.until(identity, "rolled_back")
        wait_until(lambda: self.has_everything("stable"))
