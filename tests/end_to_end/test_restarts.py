"""kill -9 of the controller in every state of a canary: after its restart the rollout ends as it would have.

The states are those of the table, so that a new one without a way to it fails here. What keeps a rollout where it is
(a stopped line, a proxy that stands still) stays through the kill and goes away after the restart.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import pytest

from controller.core.model import Phase
from controller.core.transitions import TABLE
from tests.support.canary_scene import Scene, book_of, canary_scene, kinds_of, policy, records_of
from tests.support.load import load
from tests.support.whole_proxy import wait_until

pytestmark = pytest.mark.timeout(240)

#: The first step lasts until somebody promotes it, so that nothing depends on how fast a test is.
STEPS = policy((10, "1h"), (100, "1s"), promote="time")
ENDING = ("advanced", "concluded", "completed")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One proxy with traffic for all states; each test leaves it as it has found it."""
    with canary_scene(tmp_path_factory.mktemp("restarts"), STEPS) as scene, load(scene.proxy, kept=2, pause=0.01):
        yield scene


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """The supervisor of the proxy does not answer; its workers serve."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Ways:
    """A way into each state, and what lets it go on from there; each gives what the rest of the journal then tells."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def start(self) -> str:
        return str(self.scene.controller.client.start("shop")["id"])

    def line(self, stopped: bool) -> None:
        self.scene.controller.stop_line(stopped=stopped)

    def order(self, identity: str, verb: Any, **more: Any) -> None:
        self.scene.controller.client.order(identity, verb, **more)

    @contextmanager
    def pending(self) -> Iterator[str]:
        self.line(True)
        yield self.start()
        self.line(False)

    @contextmanager
    def preparing(self) -> Iterator[str]:
        """The new version has no usable endpoint yet."""
        self.scene.proxy.admin.set_endpoint_state("shop", "canary", self.scene.upstreams.places["canary"], "down")
        identity = self.start()
        self.scene.controller.until(identity, "preparing")
        yield identity
        self.scene.proxy.admin.set_endpoint_state("shop", "canary", self.scene.upstreams.places["canary"], "up")

    @contextmanager
    def step(self) -> Iterator[str]:
        identity = self.start()
        self.scene.controller.until(identity, "step")
        yield identity

    @contextmanager
    def paused(self) -> Iterator[str]:
        with self.step() as identity:
            self.order(identity, "pause")
            yield identity
        self.order(identity, "resume")

    @contextmanager
    def holding(self) -> Iterator[str]:
        with self.step() as identity:
            self.scene.controller.say("shop", "bad")
            self.scene.controller.until(identity, "holding")
            yield identity
        self.order(identity, "resume")

    @contextmanager
    def frozen(self) -> Iterator[str]:
        with self.step() as identity:
            self.scene.upstreams.fail("stable", "canary", errors=0.15)
            self.scene.controller.until(identity, "frozen")
            yield identity
        self.scene.upstreams.heal("stable", "canary")

    @contextmanager
    def finishing(self) -> Iterator[str]:
        with self.step() as identity, standing_still(self.scene.proxy.program.pid):
            self.order(identity, "promote", all_steps=True)
            yield identity

    @contextmanager
    def promoted(self) -> Iterator[str]:
        with self.step() as identity:
            self.order(identity, "promote", all_steps=True)
            self.scene.controller.until(identity, "promoted")
            yield identity

    @contextmanager
    def rolling_back(self) -> Iterator[str]:
        with self.step() as identity, standing_still(self.scene.proxy.program.pid):
            self.order(identity, "abort")
            yield identity

    @contextmanager
    def rolled_back(self) -> Iterator[str]:
        with self.step() as identity:
            self.order(identity, "abort")
            self.scene.controller.until(identity, "rolled_back")
            yield identity
        self.order(identity, "retry")


#: What the journal tells of each, from its beginning to its end.
ENDS: Final[Mapping[Phase, tuple[str, ...]]] = {
    "pending": ("began", "prepared", *ENDING),
    "preparing": ("began", "prepared", *ENDING),
    "step": ("began", "prepared", *ENDING),
    "paused": ("began", "prepared", "paused", "resumed", *ENDING),
    "holding": ("began", "prepared", "failed", "held", "resumed", *ENDING),
    "frozen": ("began", "prepared", "froze", "retreated", "thawed", *ENDING),
    "finishing": ("began", "prepared", "concluded", "completed"),
    "promoted": ("began", "prepared", "concluded", "completed"),
    "rolling_back": ("began", "prepared", "aborted", "restored"),
    "rolled_back": ("began", "prepared", "aborted", "restored", "retried", "began", "prepared", *ENDING),
}


@pytest.mark.parametrize("phase", TABLE)
def test_a_controller_that_is_killed_goes_on_where_it_was(scene: Scene, phase: Phase):
    enter: Callable[[], Any] = getattr(Ways(scene), phase)
    with enter() as identity:
        scene.controller.kill()
        records = records_of(scene.folder)
        before = book_of(records).rollouts[identity]
        assert before.phase == phase
        scene.controller.start()
        found = scene.controller.client.rollout(identity)
        assert (found["phase"], found["step"], found["attempt"]) == (phase, before.step, before.attempt)
    end = "rolled_back" if phase == "rolling_back" else "promoted"
    if scene.controller.until(identity, "step", end)["phase"] == "step":
        scene.controller.client.order(identity, "promote")
    scene.controller.until(identity, end)
    wanted = {"stable": 100, "canary": 0} if end == "rolled_back" else {"stable": 0, "canary": 100}
    assert scene.weights == wanted
    assert scene.kinds(identity) == ["created", *ENDS[phase]]
    leave(scene, identity)


def leave(scene: Scene, identity: str) -> None:
    """Give everything back to the stable version."""
    scene.controller.client.order(identity, "abort")
    scene.controller.until(identity, "rolled_back")
    wait_until(lambda: scene.weights == {"stable": 100, "canary": 0})


def test_what_the_journal_holds_in_the_end_gives_the_same_book_again(scene: Scene):
    """After as many kills as there are states."""
    told = {rollout["id"]: rollout for rollout in scene.controller.client.rollouts()["rollouts"]}
    scene.controller.kill()
    records = records_of(scene.folder)
    book = book_of(records)
    assert {identity: rollout.phase for identity, rollout in book.rollouts.items()} == {
        identity: rollout["phase"] for identity, rollout in told.items()
    }
    assert [record.n for record in records] == list(range(1, len(records) + 1))
    assert kinds_of(records, "shop-1")[0] == "created"
    scene.controller.start()
