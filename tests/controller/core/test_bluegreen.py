"""A blue-green rollout, decided second by second."""

from tests.controller.core.test_canary import an_outage
from tests.support.rollout_world import World

SHORT = "strategy: blue-green, bake: 60, before: [{kind: http, url: 'http://127.0.0.1:1/'}]"


def switched(settings: str = SHORT) -> World:
    """A rollout whose bake has begun."""
    world = World(settings)
    while not world.rollout.runs_since:
        world.tick()
    return world


def test_everything_is_switched_at_once_and_stays_after_the_bake():
    world = World(SHORT)
    world.until("promoted")
    assert [split.active for split in world.splits] == ["stable", "canary", "canary"]
    assert all(sorted(split.weights.values()) == [0, 100] for split in world.splits)
    assert world.kinds == ["created", "began", "prepared", "concluded", "completed"]


def test_nothing_is_switched_before_the_checks_on_the_preview_pass():
    world = World(SHORT)
    world.before["http"] = "NO_DATA"
    world.tick(times=100)
    assert (world.rollout.phase, world.sentence) == ("preparing", "waits for http: it is NO_DATA")
    world.before["http"] = "FAIL"
    world.until("rolled_back", most=3)
    assert {split.active for split in world.splits} == {"stable"}


def test_a_failure_during_the_bake_switches_back():
    world = switched()
    world.verdicts["error-rate"] = "FAIL"
    world.until("rolled_back", most=3)
    assert world.proxies["p0"].split.active == "stable"


def test_a_switch_can_be_taken_back_after_the_end():
    world = World(SHORT)
    world.until("promoted")
    world.tick(3600)
    world.order("abort")
    world.until("rolled_back", most=3)
    assert world.proxies["p0"].split.active == "stable"


def test_a_hold_because_of_a_failure_switches_back_and_a_resume_switches_again():
    world = switched(SHORT + ", on: {fail: hold}")
    world.verdicts["error-rate"] = "FAIL"
    world.tick(times=2)
    assert (world.rollout.phase, world.proxies["p0"].split.active) == ("holding", "stable")
    world.verdicts["error-rate"] = "PASS"
    world.order("resume")
    world.tick(times=2)
    assert world.proxies["p0"].split.active == "canary"


def test_a_hold_because_nothing_is_known_leaves_the_switch():
    world = switched()
    world.verdicts = dict.fromkeys(world.verdicts, "NO_DATA")
    world.until("holding")
    world.tick(times=2)
    assert world.proxies["p0"].split.active == "canary"


def test_an_outage_after_the_switch_switches_back_and_begins_again_afterwards():
    world = switched()
    world.outage = an_outage(after_increase=True)
    world.tick(times=2)
    assert (world.rollout.phase, world.proxies["p0"].split.active) == ("frozen", "stable")
    world.outage = None
    world.until("promoted")
