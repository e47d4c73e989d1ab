"""kill -9 of the controller in a state of a rollout: the ways into the states, and what is looked at after its restart.

Owns what is the same for all strategies. What keeps a rollout where it is (a stopped line, a proxy that stands still)
stays through the kill and goes away after the restart.
"""

from __future__ import annotations

import json
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from controller.core.model import Phase, Rollout
from controller.core.transitions import TABLE
from tests.support.canary_scene import book_of, records_of
from tests.support.whole_controller import WholeController
from tests.support.whole_proxy import WholeProxy

#: Each state of the table by its own name, and those that a rollout comes to in another way too.
WAYS: Final[Mapping[str, Phase]] = {**{phase: phase for phase in TABLE}, "failing": "rolling_back"}


class Scene(Protocol):
    """What plays."""

    @property
    def proxy(self) -> WholeProxy:
        """The proxy."""

    @property
    def controller(self) -> WholeController:
        """Who is killed."""

    @property
    def folder(self) -> Path:
        """What the controller keeps."""


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """The supervisor of the proxy does not answer; its workers serve."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def outside(note: Path) -> dict[str, Any]:
    """A check that fails while there is a note."""
    return {"kind": "exec", "name": "outside", "command": f"test ! -e {note}", "interval": "500ms"}


class Ways(ABC):
    """A way into each state, and what lets the rollout go on from there; each gives its id.

    Its steps last until somebody promotes, so that nothing depends on how fast a test is. `note` is that of a check
    `outside`; `ending` is what the journal tells of a rollout that goes through all of its steps.
    """

    def __init__(self, scene: Scene, note: Path, ending: tuple[str, ...]) -> None:
        self.scene = scene
        self._note = note
        begun = ("began", "prepared")
        #: What the journal tells of each, from its beginning to its end.
        self.ends: dict[str, tuple[str, ...]] = {
            "pending": (*begun, *ending),
            "preparing": (*begun, *ending),
            "step": (*begun, *ending),
            "paused": (*begun, "paused", "resumed", *ending),
            "holding": (*begun, "failed", "held", "resumed", *ending),
            "frozen": (*begun, "froze", "retreated", "thawed", *ending),
            "finishing": (*begun, *ending),
            "promoted": (*begun, *ending),
            "rolling_back": (*begun, "aborted", "restored"),
            "failing": (*begun, "failed", "turned_back", "restored"),
            "rolled_back": (*begun, "aborted", "restored", "retried", *begun, *ending),
        }

    def into(self, way: str) -> AbstractContextManager[str]:
        """The way of this name."""
        found: AbstractContextManager[str] = getattr(self, way)()
        return found

    def start(self) -> str:
        """Start a rollout; its id."""
        return str(self.scene.controller.client.start("shop")["id"])

    def order(self, identity: str, verb: Any) -> None:
        """Order something."""
        self.scene.controller.client.order(identity, verb)

    def baking(self, identity: str, *others: str) -> str:
        """Wait until the clock of a step runs, or the rollout is in one of these phases; its phase."""
        found = self.scene.controller.until_it(
            identity,
            lambda found: found["phase"] in others or (found["phase"] == "step" and found["elapsed"] > 0),
            f"to be in a step, or {others}",
        )
        return found["phase"]

    def go_on(self, identity: str, end: str) -> None:
        """Promote from step to step until the rollout has ended so."""
        while self.baking(identity, end) != end:
            self.order(identity, "promote")

    def to_the_last_step(self, identity: str) -> None:
        """Promote until there is one step left."""
        self.baking(identity)
        while (found := self.scene.controller.client.rollout(identity))["step"] < found["steps"] - 1:
            self.order(identity, "promote")
            self.baking(identity)

    @contextmanager
    def pending(self) -> Iterator[str]:
        """The line is stopped."""
        self.scene.controller.client.set_line(stopped=True)
        yield self.start()
        self.scene.controller.client.set_line(stopped=False)

    @abstractmethod
    def unprepared(self) -> AbstractContextManager[None]:
        """Keep a rollout from being prepared."""

    @contextmanager
    def preparing(self) -> Iterator[str]:
        """Something is not ready."""
        with self.unprepared():
            identity = self.start()
            self.scene.controller.until(identity, "preparing")
            yield identity

    @contextmanager
    def step(self) -> Iterator[str]:
        """Its clock runs."""
        identity = self.start()
        self.baking(identity)
        yield identity

    @contextmanager
    def paused(self) -> Iterator[str]:
        """Somebody has paused it."""
        with self.step() as identity:
            self.order(identity, "pause")
            yield identity
        self.order(identity, "resume")

    @contextmanager
    def holding(self) -> Iterator[str]:
        """Somebody outside has complained."""
        with self.step() as identity:
            self.scene.controller.client.signal("shop", "bad")
            self.scene.controller.until(identity, "holding")
            yield identity
        self.order(identity, "resume")

    @abstractmethod
    def outage(self) -> AbstractContextManager[None]:
        """Let both versions fail."""

    @contextmanager
    def frozen(self) -> Iterator[str]:
        """Both versions fail."""
        with self.step() as identity, self.outage():
            self.scene.controller.until(identity, "frozen")
            yield identity

    @contextmanager
    def finishing(self) -> Iterator[str]:
        """It may finish, and the proxy cannot be told."""
        with self.step() as identity:
            self.to_the_last_step(identity)
            with standing_still(self.scene.proxy.program.pid):
                self.order(identity, "promote")
                yield identity

    @contextmanager
    def promoted(self) -> Iterator[str]:
        """It has ended well."""
        with self.step() as identity:
            self.go_on(identity, "promoted")
            yield identity

    @contextmanager
    def rolling_back(self) -> Iterator[str]:
        """It was aborted, and the proxy cannot be told."""
        with self.step() as identity, standing_still(self.scene.proxy.program.pid):
            self.order(identity, "abort")
            yield identity

    @contextmanager
    def failing(self) -> Iterator[str]:
        """A check has failed, and the proxy cannot be told to go back."""
        with self.step() as identity, standing_still(self.scene.proxy.program.pid):
            self._note.touch()
            self.scene.controller.until(identity, "rolling_back")
            yield identity
        self._note.unlink()

    @contextmanager
    def rolled_back(self) -> Iterator[str]:
        """It was aborted, and is tried again."""
        with self.step() as identity:
            self.order(identity, "abort")
            self.scene.controller.until(identity, "rolled_back")
            yield identity
        self.order(identity, "retry")


def killed(scene: Scene, identity: str, phase: Phase) -> Rollout:
    """Kill the controller while a rollout is in a phase, and start it again: it is where it was. The rollout then."""
    scene.controller.kill()
    before = book_of(records_of(scene.folder)).rollouts[identity]
    assert before.phase == phase
    scene.controller.start()
    found = scene.controller.client.rollout(identity)
    assert (found["phase"], found["step"], found["attempt"]) == (phase, before.step, before.attempt)
    return before


def walk(ways: Ways, way: str) -> tuple[str, str]:
    """Go a way, kill the controller at its end, start it again, and let the rollout go on; its id, and how it ended."""
    phase = WAYS[way]
    with ways.into(way) as identity:
        killed(ways.scene, identity, phase)
    end = "rolled_back" if phase == "rolling_back" else "promoted"
    ways.go_on(identity, end)
    assert [kind for kind, _ in told(ways.scene, identity) if kind != "moved"] == ["created", *ways.ends[way]]
    return identity, end


def told(scene: Scene, identity: str) -> list[tuple[str, dict[str, Any]]]:
    """What the journal says has happened to a rollout, without what happens all the time. Nothing is being written."""
    lines = (scene.folder / "controller" / "journal.jsonl").read_text().splitlines()
    entries = [json.loads(line).get("entry", {}) for line in lines]
    events = [entry["event"] for entry in entries if entry.get("rollout") == identity]
    return [(event["kind"], event) for event in events if event["kind"] not in ("applied", "missed")]


def moves(scene: Scene, identity: str) -> dict[str, list[str]]:
    """The stages of each endpoint of a rolling rollout, in their order."""
    found: dict[str, list[str]] = {}
    for kind, event in told(scene, identity):
        for address in event["addresses"] if kind == "moved" else ():
            found.setdefault(address, []).append(event["stage"])
    return found
