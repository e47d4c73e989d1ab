"""What holds whatever happens: random worlds, random orders, random clocks."""

import json
import math
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.book import Happened, entry_from_json, entry_to_json
from controller.core.decide import decide
from controller.core.events import Event
from controller.core.model import Rollout
from controller.core.observed import RunEnd
from controller.core.orders import VERBS, Refused
from controller.core.strategy import strategy_of
from controller.core.transitions import apply
from tests.controller.core.test_canary import an_outage
from tests.support.long_forms import long_or
from tests.support.rollout_world import World, replayed

POLICIES = [
    "strategy: canary, steps: [{weight: 1, bake: 20}, {weight: 40, bake: 20}, {weight: 100, bake: 20}]",
    "strategy: canary, steps: [{weight: 0.1, bake: 5}, {weight: 33.3, bake: off}], hold_back: 2%, on: {fail: hold}",
    "strategy: canary, promote: time, hold: {to: 0.3, investigate: 60, then: hold}, on: {inconclusive: rollback}",
    "strategy: blue-green, bake: 20, before: [{kind: exec, command: smoke}]",
    "strategy: blue-green, bake: off, on: {fail: hold, no_data: advance, stable_failing: rollback}",
    "strategy: rolling, settle: 5, deploy: {exec: deploy}",
    "strategy: rolling, settle: 5, max_unavailable: 3, deploy: {exec: deploy}, on: {fail: extend, error: rollback}",
    "strategy: rolling, settle: 5",
]
MANY = long_or(75, 1000)
VALUES = st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE", "NO_DATA", "ERROR"])
Deed = Callable[[World], None]


def _judge(pair: tuple[int, str]) -> Deed:
    def deed(world: World) -> None:
        names = [*world.verdicts, *world.before]
        name = names[pair[0] % len(names)]
        (world.verdicts if name in world.verdicts else world.before)[name] = pair[1]  # type: ignore[assignment]

    return deed


def _order(pair: tuple[int, bool]) -> Deed:
    def deed(world: World) -> None:
        with suppress(Refused):
            world.order(VERBS[pair[0]], all_steps=pair[1])

    return deed


def _set(name: str, value: object) -> Deed:
    return lambda world: setattr(world, name, value)


def _change_by_hand(pair: tuple[str, int]) -> Deed:
    return lambda world: world.change_by_hand({"stable": 100 - pair[1], "canary": pair[1]}, by=pair[0])


def _end_deploys(ok: bool | None) -> Deed:
    return lambda world: setattr(world, "deploys", lambda run: None if ok is None else RunEnd(ok, "told to"))


def _flip(pair: tuple[int, bool]) -> Deed:
    def deed(world: World) -> None:
        for version, places in world.proxies["p0"].endpoints.items():
            for address in list(places)[pair[0] :][:1]:
                world.set_endpoint(version, address, healthy=pair[1], in_flight=0)

    return deed


DEEDS = st.one_of(
    st.floats(0, 15).map(lambda seconds: lambda world: world.tick(seconds)),
    st.integers(2, 60).map(lambda times: lambda world: world.tick(1.0, times)),
    st.just(lambda world: world.tick(100_000.0)),
    st.tuples(st.integers(0, 9), VALUES).map(_judge),
    st.tuples(st.integers(0, len(VERBS) - 1), st.booleans()).map(_order),
    st.sampled_from([set(), {"p0"}, {"p1"}, {"p0", "p1"}]).map(lambda lost: _set("lost", lost)),
    st.sampled_from([None, an_outage(), an_outage(after_increase=True), an_outage(new_is_better=True)]).map(
        lambda outage: _set("outage", outage)
    ),
    st.sampled_from(["", "the line is stopped"]).map(lambda why: _set("blocked", why)),
    st.tuples(st.sampled_from(["breaker", "carol", "file"]), st.integers(0, 100)).map(_change_by_hand),
    st.sampled_from([True, False, None]).map(_end_deploys),
    st.tuples(st.integers(0, 4), st.booleans()).map(_flip),
)
Story = tuple[str, int, list[Deed]]
#: A policy, how long all goes well, and what happens then.
STORIES = st.tuples(
    st.sampled_from(POLICIES), st.sampled_from([0, 2, 5, 10, 20, 30, 45, 80]), st.lists(DEEDS, max_size=40)
)


def told(story: Story, after_each: Callable[[World], None] = lambda world: None) -> World:
    """The world after a story."""
    policy, good_seconds, deeds = story
    world = World(policy, proxies=2)
    for _ in range(good_seconds):
        world.tick()
    for deed in deeds:
        deed(world)
        after_each(world)
    return world


def heal(world: World) -> None:
    """Let everything be well again."""
    world.lost, world.outage, world.blocked = set(), None, ""
    world.deploys = lambda run: RunEnd(True)
    for version, places in world.proxies["p0"].endpoints.items():
        for address in places:
            world.set_endpoint(version, address, healthy=True, in_flight=0)


@given(STORIES)
@settings(max_examples=MANY)
def test_replaying_the_events_gives_the_same_state(story: Story):
    world = told(story)
    assert replayed(world.events) == world.rollout
    written = [json.dumps(entry_to_json(Happened("shop-1", event))) for event in world.events]
    read = [entry_from_json(text) for text in written]
    assert replayed([entry.event for entry in read if isinstance(entry, Happened)]) == world.rollout


@given(STORIES)
@settings(max_examples=MANY)
def test_weights_always_add_up(story: Story):
    def check(world: World) -> None:
        split = strategy_of(world.rollout.policy).split(world.rollout)
        assert set(split.weights) == {"stable", "canary"}
        assert all(weight >= 0 for weight in split.weights.values())
        total = math.fsum(split.weights.values())
        if world.rollout.policy.strategy == "rolling":
            assert total == int(total) > 0
        else:
            assert math.isclose(total, 100)

    told(story, check)


@given(STORIES)
@settings(max_examples=MANY)
def test_an_abort_works_in_every_state_and_a_second_one_changes_nothing(story: Story):
    world = told(story)
    if world.rollout.sealed:
        with pytest.raises(Refused):
            world.order("abort")
        return
    had_ended = world.rollout.phase == "rolled_back"
    world.order("abort")
    aborted = world.rollout
    assert world.order("abort") is None
    assert world.rollout == aborted
    heal(world)
    for _ in range(3000):
        if world.rollout.phase == "rolled_back":
            break
        for unit in world.rollout.units:
            if unit.stage in ("reverting", "changing_back") and world.rollout.policy.deploy is None:  # type: ignore[union-attr]
                world.order("promote")
                break
        world.tick()
    assert world.rollout.phase == "rolled_back"
    if world.splits and not had_ended:
        # What somebody has changed by hand once it was back is theirs.
        kept = [proxy for proxy in world.proxies.values() if proxy.changed_by == "rollout shop-1"]
        assert [proxy.split.share("canary") for proxy in kept] == [0] * len(kept)


@given(STORIES)
@settings(max_examples=MANY)
def test_a_failure_is_only_taken_away_by_a_person(story: Story):
    world = told(story)
    rollout: Rollout | None = None
    for event in world.events[1:]:
        before = rollout or replayed(world.events[:1])
        rollout = apply(before, event)
        if set(before.failed) - set(rollout.failed):
            assert event.by
            assert event.kind in ("resumed", "advanced", "concluded", "retried")


@given(STORIES)
@settings(max_examples=MANY)
def test_a_certain_failure_never_leaves_the_new_version_more_than_it_had(story: Story):
    world = told(story)
    phases = ("step", "paused", "frozen", "finishing", "holding")
    if world.rollout.phase not in phases or world.rollout.policy.on.fail != "rollback" or world.lost:
        return
    if not strategy_of(world.rollout.policy).turns_back_by_itself(world.rollout):
        return
    world.verdicts["latency"] = "FAIL"
    fresh = "latency" not in world.rollout.failed
    world.tick(0.0)
    assert world.rollout.phase in ("rolling_back", "rolled_back") or not fresh


@given(STORIES, st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.5]))
@settings(max_examples=100)
def test_a_clock_that_cannot_be_right_decides_nothing(story: Story, now: float):
    world = told(story)
    if math.isfinite(now) and now >= world.rollout.at:
        return
    decision = decide(world.rollout, world.seen(), now)
    assert (decision.rollout, decision.events, decision.actions) == (world.rollout, (), ())


@given(STORIES)
@settings(max_examples=MANY)
def test_nothing_goes_forward_while_it_is_blocked(story: Story):
    def check(world: World) -> None:
        before = len(world.events)
        blocked, world.blocked = world.blocked, "the line is stopped"
        world.tick(0.0)
        world.blocked = blocked
        forward = {"began", "prepared", "advanced", "concluded"}
        assert not forward & {event.kind for event in world.events[before:]}

    told(story, check)


@given(STORIES)
@settings(max_examples=MANY)
def test_a_rolling_rollout_never_takes_out_more_endpoints_than_it_may(story: Story):
    def check(world: World) -> None:
        if world.rollout.policy.strategy == "rolling" and world.rollout.units:
            out = sum(unit.stage not in ("old", "new") for unit in world.rollout.units)
            assert out <= world.rollout.policy.max_unavailable

    told(story, check)


@given(STORIES)
@settings(max_examples=100)
def test_no_run_of_a_hook_has_the_number_of_another(story: Story):
    world = told(story)
    numbers = [run.run for run in world.runs]
    assert len(numbers) == len(set(numbers))


@given(STORIES)
@settings(max_examples=100)
def test_time_goes_on(story: Story):
    instants = [event.at for event in told(story).events]
    assert instants == sorted(instants)
    assert all(isinstance(event, Event) for event in told(story).events)
