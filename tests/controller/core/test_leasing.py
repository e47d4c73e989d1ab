"""The lease that the proxies have while a rollout is under way."""

import pytest

from config.guard import Brought
from config.service import Breaker
from controller.core.actions import RenewLease
from controller.core.model import LeaseTerms
from controller.core.observed import SeenLease
from tests.support.rollout_world import BLUE_GREEN, CANARY, ROLLING, World

LOSS = "on_controller_loss: {after: 30, do: rollback}"
BRINGS = Brought("canary", "stable", Breaker())
HOLD = LeaseTerms(30.0, "hold", brings=BRINGS)


def leases(world: World) -> list[SeenLease | None]:
    return [proxy.lease for proxy in world.proxies.values()]


def terms(world: World) -> LeaseTerms | None:
    lease = world.proxies["p0"].lease
    return lease.terms if lease is not None else None


def renewals(world: World, seconds: float, times: int) -> int:
    return sum(isinstance(action, RenewLease) for _ in range(times) for action in world.tick(seconds).actions)


def test_the_proxies_may_roll_back_only_while_the_new_version_is_watched():
    world = World(f"{CANARY}, {LOSS}")
    told: dict[str, LeaseTerms | None] = {}
    for _ in range(5000):
        world.tick()
        told.setdefault(world.rollout.phase, terms(world))
        if world.rollout.phase == "promoted":
            break
    back = LeaseTerms(30.0, "rollback", weights={"stable": 100.0, "canary": 0.0}, brings=BRINGS)
    assert told == {"preparing": HOLD, "step": back, "finishing": HOLD, "promoted": None}


@pytest.mark.parametrize("verb", ["pause", "abort"])
def test_a_paused_rollout_is_watched_on_and_one_that_goes_back_is_not(verb: str):
    world = World(f"{CANARY}, {LOSS}")
    world.until("step")
    world.tick(times=3)
    world.order(verb)  # type: ignore[arg-type]
    assert [action.terms.do for action in world.tick().actions if isinstance(action, RenewLease)] == (
        ["hold"] if verb == "abort" else []
    )


def test_a_pool_goes_back_as_a_pool():
    world = World(f"{BLUE_GREEN}, {LOSS}")
    world.until("step")
    world.tick()
    assert terms(world) == LeaseTerms(30.0, "rollback", active="stable", brings=BRINGS)


def test_without_a_word_the_proxies_hold_after_a_minute():
    for policy in (CANARY, BLUE_GREEN, ROLLING):
        world = World(policy)
        world.until("step")
        world.tick()
        assert terms(world) == LeaseTerms(60.0, "hold", brings=BRINGS)


@pytest.mark.parametrize(
    ("breaker", "guard"), [("{window: 30, fails: 3}", Breaker(window=30, fails=3)), ("off", None)], ids=["set", "off"]
)
def test_it_names_the_version_that_the_rollout_brings_and_what_guards_it(breaker: str, guard: Breaker | None):
    world = World(f"{CANARY}, breaker: {breaker}")
    world.until("step")
    found = terms(world)
    assert found is not None
    assert found.brings == Brought("canary", "stable", guard)


def test_it_is_renewed_when_a_third_of_its_time_is_gone():
    world = World(f"{CANARY}, {LOSS}", proxies=2)
    world.until("step")
    world.tick(times=2)
    world.tick(times=30)
    assert renewals(world, 1.0, 60) == 6


def test_it_is_renewed_at_once_where_it_has_run_out_or_is_somebody_elses():
    world = World(f"{CANARY}, {LOSS}", proxies=2)
    world.until("step")
    world.tick(times=3)
    assert renewals(world, 0.1, 1) == 0
    world.lose_lease("p1", SeenLease("rollout shop-0", HOLD, 30.0))
    assert renewals(world, 0.1, 1) == 1
    world.lose_lease("p1", None)
    assert renewals(world, 0.1, 1) == 1
    world.lose_lease("p1", SeenLease("rollout shop-1", HOLD, None, "nothing was heard", held=True, seconds_ago=100))
    assert renewals(world, 0.1, 1) == 1


def test_a_controller_that_comes_back_to_a_split_that_was_held_writes_it_down_once_and_goes_on():
    world = World(f"{CANARY}, on_controller_loss: {{after: 5}}")
    world.until("step")
    world.tick(times=3)
    elapsed = world.rollout.elapsed(world.now)
    world.lose_lease("p0", SeenLease("rollout shop-1", HOLD, None, "nothing was heard", held=True, seconds_ago=85))
    world.tick(90)
    world.tick(times=3)
    assert world.kinds[-1:] == ["missed"]
    assert [event.why for event in world.events if event.kind == "missed"] == [
        "p0 has held the split: nothing was heard"
    ]
    assert world.rollout.elapsed(world.now) == elapsed + 3
    world.until("promoted")


def test_a_controller_that_comes_back_to_a_rollback_rolls_back():
    world = World(f"{CANARY}, {LOSS}", proxies=2)
    world.until("step")
    world.tick(times=3)
    for name in ("p0", "p1"):
        world.lose_lease(name, SeenLease("rollout shop-1", HOLD, None, "nothing was heard", seconds_ago=85))
    world.change_by_hand({"stable": 100, "canary": 0}, "lease", "nothing was heard of rollout shop-1 for 30 s")
    world.tick(90)
    world.until("rolled_back", most=3)
    assert (world.rollout.failed, world.rollout.why) == (
        ("controller-loss",),
        "p0 has taken canary out by itself: nothing was heard of rollout shop-1 for 30 s",
    )
    assert leases(world) == [None, None]
