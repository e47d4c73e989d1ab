"""A crash at every decision of every story, of all strategies: what follows is what would have followed without it.

A controller dies before it has written down what it decided, after that and before it has done it, or after it has done
it and before it knows so. What it knew is what its journal says; the proxies and the deploy hooks go on as they were.
The stories lead through every state of the table, so that a new one without a story fails here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Final, Literal, get_args

import pytest

from controller.core.book import Happened, entry_from_json, entry_to_json
from controller.core.decide import Decision, decide
from controller.core.model import Phase
from controller.core.transitions import TABLE
from tests.controller.core.test_canary import an_outage
from tests.support.rollout_world import World, replayed

Moment = Literal["not written down", "not done", "not known"]
MOMENTS: Final[tuple[Moment, ...]] = get_args(Moment)
STRATEGIES: Final = {
    "canary": "strategy: canary, steps: [{weight: 10, bake: 3}, {weight: 100, bake: 3}]",
    "blue-green": "strategy: blue-green, bake: 3",
    "rolling": "strategy: rolling, settle: 2, deploy: {exec: 'deploy {endpoint} {version}'}",
}
Story = Callable[[World], None]


class Crashing(World):
    """A world whose controller dies once, in its turn number `at`, and is started again."""

    def __init__(self, settings: str, at: int, moment: Moment) -> None:
        super().__init__(settings)
        self.turns = 0
        self.phases: list[Phase] = []
        self.decided: list[int] = []
        """The turns in which something has happened."""
        self._at = at
        self._moment = moment

    def tick(self, seconds: float = 1.0, times: int = 1) -> Decision:
        for _ in range(times):
            self.phases.append(self.rollout.phase)
            if self.turns == self._at:
                self._crash(seconds)
            decision = super().tick(seconds)
            if decision.events:
                self.decided.append(self.turns)
            self.turns += 1
        return decision

    def _crash(self, seconds: float) -> None:
        self.now += seconds
        decision = decide(self.rollout, self.seen(), self.now)
        if self._moment != "not written down":
            self._take(decision.events)
        if self._moment == "not known":
            self._perform(decision.actions)
        self._acknowledged, self._errors_since, self._lost_since = 0, None, {}
        written = [json.dumps(entry_to_json(Happened("shop-1", event))) for event in self.events]
        entries = [entry_from_json(text) for text in written]
        found = replayed([entry.event for entry in entries if isinstance(entry, Happened)])
        assert found == self.rollout
        self.rollout = found


def is_promoted(world: World) -> None:
    world.until("promoted")


def fails_and_is_tried_again(world: World) -> None:
    world.until("step")
    world.verdicts["error-rate"] = "FAIL"
    world.until("rolled_back")
    world.verdicts["error-rate"] = "PASS"
    world.order("retry")
    world.until("promoted")


def is_aborted_in_its_first_step(world: World) -> None:
    world.until("step")
    world.tick(times=2)
    world.order("abort")
    world.until("rolled_back")


def is_taken_back_after_its_end(world: World) -> None:
    world.until("promoted")
    world.order("abort")
    world.until("rolled_back")


def pauses(world: World) -> None:
    world.until("step")
    world.tick(times=2)
    world.order("pause")
    world.tick(times=5)
    world.order("resume")
    world.until("promoted")


def holds(world: World) -> None:
    world.until("step")
    world.verdicts["error-rate"] = "ERROR"
    world.until("holding")
    world.tick(times=3)
    world.verdicts["error-rate"] = "PASS"
    world.order("resume")
    world.until("promoted")


def meets_an_outage(world: World) -> None:
    world.until("step")
    world.outage = an_outage()
    world.until("frozen")
    world.tick(times=3)
    world.outage = None
    world.until("promoted")


def may_cause_an_outage(world: World) -> None:
    world.until("step")
    world.outage = an_outage(after_increase=True)
    world.until("frozen")
    world.tick(times=3)
    world.outage = None
    world.until("promoted")


def waits_for_its_turn_and_for_its_proxies(world: World) -> None:
    world.blocked = "waits for shop-0"
    world.tick(times=3)
    world.blocked = ""
    world.until("step")
    world.tick()
    world.lost = {"p0"}
    world.order("promote" if world.rollout.policy.strategy != "rolling" else "pause", all_steps=True)
    world.tick(times=3)
    world.lost = set()
    if world.rollout.phase == "paused":
        world.order("resume")
    world.until("promoted")


def is_aborted_while_no_proxy_answers(world: World) -> None:
    world.until("step")
    world.lost = {"p0"}
    world.order("abort")
    world.tick(times=3)
    world.lost = set()
    world.until("rolled_back")


STORIES: Final[tuple[Story, ...]] = (
    is_promoted,
    fails_and_is_tried_again,
    is_aborted_in_its_first_step,
    is_taken_back_after_its_end,
    pauses,
    holds,
    meets_an_outage,
    may_cause_an_outage,
    waits_for_its_turn_and_for_its_proxies,
    is_aborted_while_no_proxy_answers,
)


def tell(settings: str, story: Story, at: int = -1, moment: Moment = "not done") -> Crashing:
    world = Crashing(settings, at, moment)
    story(world)
    world.tick(times=3)
    return world


def turns_worth_a_crash(world: Crashing) -> Iterator[int]:
    """Those in which something happens, the first quiet one after each, and the first one of each state."""
    changed = {turn for turn, phases in enumerate(itertools.pairwise(world.phases), start=1) if phases[0] != phases[1]}
    return iter(sorted(changed.union(*({turn, turn + 1} for turn in world.decided)) & set(range(len(world.phases)))))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("settings", STRATEGIES.values(), ids=STRATEGIES)
def test_a_crash_changes_nothing_but_the_time(settings: str, story: Story):
    whole = tell(settings, story)
    for at in turns_worth_a_crash(whole):
        for moment in MOMENTS:
            world = tell(settings, story, at, moment)
            assert (world.kinds, world.rollout.phase) == (whole.kinds, whole.rollout.phase), (at, moment)
            assert dict(world.proxies["p0"].split.weights) == dict(whole.proxies["p0"].split.weights), (at, moment)
            assert dict(world.proxies["p0"].endpoints) == dict(whole.proxies["p0"].endpoints), (at, moment)
            assert replayed(world.events) == world.rollout


@pytest.mark.parametrize("settings", STRATEGIES.values(), ids=STRATEGIES)
def test_the_stories_crash_in_every_state(settings: str):
    crashed: set[Phase] = set()
    for story in STORIES:
        world = tell(settings, story)
        crashed |= {world.phases[at] for at in turns_worth_a_crash(world)}
    assert crashed == set(TABLE)
