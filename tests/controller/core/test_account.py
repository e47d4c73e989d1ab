"""What is told of a rollout: its outcome, its steps, what was wanted when, and what the proxies said to it."""

from collections.abc import Sequence

import pytest

from controller.core.account import Account, Halt, Happening, account_of, spoken
from controller.core.events import Event
from tests.support.rollout_world import BLUE_GREEN, CANARY, ROLLING, World

SHORT = (
    "strategy: canary, promote: time, steps: [{weight: 10, bake: 60}, {weight: 50, bake: 30}, {weight: 100, bake: 5}]"
)


def told_of(events: Sequence[Event]) -> Account:
    """The account of these events; the day began at 1,000,000."""
    return account_of("shop-1", [Happening(n, 1_000_000 + each.at, each) for n, each in enumerate(events, start=1)])


def steps_of(account: Account) -> list[tuple[str, str, int]]:
    return [(step.label, step.state, round(step.seconds)) for step in account.steps]


def test_a_promotion_is_told_with_its_steps_and_how_long_they_took():
    world = World(SHORT)
    world.until("promoted")
    account = told_of(world.events)
    assert account.outcome(world.now) == f"canary of shop was promoted after {spoken(account.end(0) - account.began)}"
    assert [(label, state) for label, state, _ in steps_of(account)] == [
        *(("10 %", "done"), ("50 %", "done"), ("100 %", "done"))
    ]
    assert [seconds >= bake for (_, _, seconds), bake in zip(steps_of(account), (60, 30, 5), strict=True)] == [True] * 3
    assert [share for _, share in account.shares] == [0.0, 0.1, 0.5, 1.0]
    assert account.rollout == world.rollout


def test_a_rollback_is_told_with_the_step_that_failed():
    world = World(SHORT)
    world.until("step")
    while world.rollout.step != 1:
        world.tick()
    world.verdicts["latency"] = "FAIL"
    world.until("rolled_back")
    account = told_of(world.events)
    assert [state for _, state, _ in steps_of(account)] == ["done", "failed", "ahead"]
    assert account.outcome(world.now).startswith("canary of shop was rolled back after ")
    assert account.reason == "latency: it is FAIL"
    assert [share for _, share in account.shares] == [0.0, 0.1, 0.5, 0.0]


def test_a_decision_is_told_with_what_the_proxies_acknowledged():
    world = World(SHORT, proxies=2)
    world.until("promoted")
    account = told_of(world.events)
    with_answer = [told for told in account.told if told.generations]
    assert [told.event.kind for told in with_answer] == ["began", "prepared", "advanced", "advanced", "concluded"]
    assert all(told.generations.keys() == {"p0", "p1"} for told in with_answer)
    assert all(told.waited is not None and told.waited >= 0 for told in with_answer)
    assert [told.words for told in account.told if told.is_minor] == ["applied"] * 5


@pytest.mark.parametrize("settings", [CANARY, BLUE_GREEN, ROLLING])
def test_every_moment_of_every_strategy_can_be_told(settings: str):
    world = World(settings)
    sentences = set()
    for _ in range(3000):
        world.tick(10.0)
        account = told_of(world.events)
        sentences.add(account.outcome(world.now).removeprefix("canary of shop "))
        assert account.rollout == world.rollout
        assert account.share_at(world.now) == account.told[-1].share
        if world.rollout.has_ended:
            break
    assert any(sentence.startswith("was promoted after") for sentence in sentences)
    assert any("step 1 of" in sentence for sentence in sentences)


def test_a_second_attempt_begins_its_steps_anew():
    world = World(SHORT)
    world.until("step")
    world.order("abort", "wrong build")
    world.until("rolled_back")
    world.order("retry")
    world.until("step")
    account = told_of(world.events)
    assert [state for _, state, _ in steps_of(account)] == ["now", "ahead", "ahead"]
    assert account.outcome(world.now) == "canary of shop is in step 1 of 3"


def test_a_rollout_that_never_had_its_turn_says_so():
    world = World(SHORT)
    assert told_of(world.events).outcome(5.0) == "canary of shop waits for its turn"
    world.order("abort")
    account = told_of(world.events)
    assert account.outcome(5.0) == "canary of shop was not started"
    assert steps_of(account) == [("10 %", "ahead", 0), ("50 %", "ahead", 0), ("100 %", "ahead", 0)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.6, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (3725, "1 h 2 min"), (90_000, "1 d 1 h")],
)
def test_durations_are_told_in_two_units_at_most(seconds: float, words: str):
    assert spoken(seconds) == words


def test_times_in_which_no_step_went_on_are_told_from_when_to_when():
    world = World(SHORT)
    world.until("step")
    paused = world.now
    world.order("pause")
    world.tick(times=4)
    resumed = world.now
    world.order("resume")
    world.tick()
    held = world.now
    world.verdicts["latency"] = "ERROR"
    world.until("holding")
    halts = told_of(world.events).halts
    assert halts[0] == Halt("paused", paused, resumed)
    assert (halts[1].phase, halts[1].begin > held, halts[1].end) == ("holding", True, None)
