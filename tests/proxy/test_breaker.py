"""The breaker in the supervisor: what it reads from the counters, when it takes a version out, and what it says."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from config.guard import Brought
from config.service import Breaker as ABreaker
from proxy.breaker import BY, Breaker, Tally, taken_out
from proxy.core.attempts import Counts
from proxy.core.leasing import end_lease, make_lease, run_out
from proxy.core.live import Change, Lease, Live, Refused, activate, set_endpoint_state, set_split
from proxy.core.outcome import Outcome
from proxy.core.overlay import reconfigure
from tests.support.fake_supervisor import FakeSupervisor
from tests.support.lives import NEVER, a_config, a_live, salts
from tests.support.waiting import until

BAD = Outcome.FIVE_XX


def a_shop(breaker: Any = None, **parts: Any) -> Live:
    shop = {
        "versions": {
            "stable": {"endpoints": ("127.0.0.1:9001",)},
            "canary": {"endpoints": ("127.0.0.1:9003", "127.0.0.1:9004")},
            "other": {"endpoints": ("127.0.0.1:9005",)},
        },
        "split": {"stable": 90, "canary": 10},
        "breaker": breaker or {"window": 20, "fails": 5},
        **parts,
    }
    return a_live(a_config({"shop": shop}))


def in_a_rollout(breaker: Any = None, **parts: Any) -> Live:
    """Other versions than canary and stable are somebody else's."""
    shop = a_shop(**parts).config.services["shop"].model_dump(by_alias=True, exclude={"breaker"})
    rollout = {"strategy": "canary", "from": "stable", "to": "canary"}
    return a_live(a_config({"shop": shop}, rollouts={"shop": rollout | ({"breaker": breaker} if breaker else {})}))


class Guarded:
    """A supervisor and its breaker, which looks when a test says so."""

    def __init__(self, live: Live | None = None) -> None:
        self.supervisor = FakeSupervisor(live or a_shop(), workers=2)
        self.breaker = Breaker(self.supervisor, clock=lambda: 1_700_000_000.0)
        self.breaker.look()

    async def look(self) -> None:
        """Look once, and let what follows come to its end."""
        self.breaker.look()
        await asyncio.gather(*self.breaker._opening.values())

    async def see(self, *outcomes: Outcome, version: str = "canary", **where: Any) -> None:
        for outcome in outcomes:
            self.supervisor.attempt(version, outcome, **where)
        await self.look()

    @property
    def weights(self) -> dict[str, float]:
        return dict(self.supervisor.live.services["shop"].weights)


FIRST = {"stable": 90.0, "canary": 10.0, "other": 0.0}
TAKEN = {"stable": 90.0, "canary": 0.0, "other": 0.0}


async def test_a_failing_version_is_taken_out_and_the_reason_is_told():
    guarded = Guarded()
    await guarded.see(*[Outcome.OK] * 50, version="stable")
    await guarded.see(*[Outcome.OK] * 15, *[BAD] * 5)
    assert guarded.weights == TAKEN
    change = Change("breaker", "breaker: 5 of the last 20 requests failed", 1_700_000_000.0, 2)
    assert guarded.supervisor.live.services["shop"].last_change == change
    told = {"service": "shop", "version": "canary", "reason": change.reason}
    numbers = {"attempts": 20, "failures": 5, "stable_attempts": 50, "stable_failures": 0}
    assert guarded.supervisor.events.published == [(BY, told | numbers)]


async def test_a_version_that_fails_less_is_left_alone():
    guarded = Guarded()
    await guarded.see(*[Outcome.OK] * 16, *[BAD] * 4)
    assert guarded.weights == FIRST
    assert guarded.supervisor.events.published == []


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.UNAVAILABLE])
async def test_what_counts_is_what_the_version_did(outcome: Outcome):
    """Clients that went away are nobody's failure."""
    guarded = Guarded()
    await guarded.see(*[outcome] * 5)
    assert guarded.weights == (TAKEN if outcome.is_failure else FIRST)


async def test_having_no_usable_endpoint_is_a_failure():
    guarded = Guarded()
    slot = guarded.supervisor.slots.version("shop", "canary")
    for _ in range(5):
        guarded.supervisor.slabs[0].choose(slot, False)
    await guarded.look()
    assert guarded.weights == TAKEN


async def test_endpoints_and_workers_add_up():
    guarded = Guarded()
    for worker, address in [(0, "127.0.0.1:9003"), (1, "127.0.0.1:9003"), (0, "127.0.0.1:9004")]:
        await guarded.see(BAD, worker=worker, address=address)
    assert guarded.weights == FIRST
    await guarded.see(BAD, BAD, worker=1, address="127.0.0.1:9004")
    assert guarded.weights == TAKEN


async def test_a_failing_stable_version_keeps_it_closed_and_is_never_taken_itself():
    guarded = Guarded()
    await guarded.see(*[BAD] * 50, version="stable")
    await guarded.see(*[BAD] * 20)
    assert guarded.weights == FIRST


class TestTheStableVersionMustBeUsable:
    async def test_one_whose_probes_fail_is_not(self):
        guarded = Guarded()
        guarded.supervisor.set_health("shop", "stable", "127.0.0.1:9001", False, "refused")
        await guarded.see(*[BAD] * 5)
        assert guarded.weights == FIRST

    async def test_one_that_drains_is_not(self):
        live = set_endpoint_state(a_shop(), "shop", "stable", "127.0.0.1:9001", "drain", NEVER)
        guarded = Guarded(live)
        await guarded.see(*[BAD] * 5)
        assert guarded.weights == FIRST

    async def test_it_takes_over_when_nobody_else_has_weight(self):
        guarded = Guarded(set_split(a_shop(), "shop", {"canary": 7}, NEVER))
        await guarded.see(*[BAD] * 5)
        assert guarded.weights == {"stable": 7.0, "canary": 0.0, "other": 0.0}

    async def test_other_versions_keep_their_weights(self):
        guarded = Guarded(set_split(a_shop(), "shop", {"stable": 5, "canary": 3, "other": 2}, NEVER))
        await guarded.see(*[BAD] * 5)
        assert guarded.weights == {"stable": 5.0, "canary": 0.0, "other": 2.0}


class TestItStaysOpen:
    async def test_until_somebody_sets_the_weights_and_then_counts_from_nothing(self):
        guarded = Guarded()
        await guarded.see(*[BAD] * 5)
        await guarded.see(*[BAD] * 5)
        assert guarded.weights == TAKEN
        await guarded.supervisor.change(lambda live: set_split(live, "shop", FIRST, NEVER))
        await guarded.look()
        await guarded.see(*[BAD] * 4)
        assert guarded.weights == FIRST
        await guarded.see(BAD)
        assert guarded.weights == TAKEN

    async def test_other_changes_of_the_weights_do_not_start_it_again(self):
        guarded = Guarded()
        await guarded.see(*[BAD] * 4)
        await guarded.supervisor.change(lambda live: set_split(live, "shop", {"stable": 80, "canary": 20}, NEVER))
        await guarded.see(BAD)
        assert guarded.weights["canary"] == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda live: activate(live, "shop", "canary", NEVER),
        lambda live: set_split(live, "shop", {"stable": 1}, NEVER),
        lambda live: a_shop(breaker="off"),
    ],
    ids=["pool mode", "weight 0", "off"],
)
async def test_where_there_is_nothing_to_take_it_does_nothing(change: Callable[[Live], Live]):
    guarded = Guarded(change(a_shop()))
    before = guarded.supervisor.live
    await guarded.see(*[BAD] * 20)
    assert guarded.supervisor.live is before


class TestARolloutInTheFile:
    async def test_its_breaker_guards_the_new_version_by_default(self):
        guarded = Guarded(in_a_rollout())
        await guarded.see(*[Outcome.OK] * 180, version="stable")
        await guarded.see(*[Outcome.OK] * 14, *[BAD] * 6)
        assert guarded.weights == TAKEN

    async def test_it_blames_no_fault_of_both_on_the_new_version_by_chance(self):
        guarded = Guarded(in_a_rollout())
        await guarded.see(*[Outcome.OK] * 27, *[BAD] * 3, version="stable")
        await guarded.see(*[Outcome.OK] * 14, *[BAD] * 6)
        assert guarded.weights == FIRST

    async def test_it_can_be_off(self):
        guarded = Guarded(in_a_rollout(breaker="off"))
        await guarded.see(*[BAD] * 20)
        assert guarded.weights == FIRST

    async def test_it_guards_no_other_version(self):
        guarded = Guarded(set_split(in_a_rollout(), "shop", {"stable": 5, "other": 5}, NEVER))
        await guarded.see(*[BAD] * 20, version="other")
        assert guarded.weights["other"] == 5

    async def test_it_rests_when_the_old_version_has_nothing_to_compare_with(self):
        guarded = Guarded(set_split(in_a_rollout(), "shop", {"canary": 100}, NEVER))
        await guarded.see(*[BAD] * 20)
        assert guarded.weights == {"stable": 0.0, "canary": 100.0, "other": 0.0}

    async def test_it_never_takes_the_stable_version(self):
        guarded = Guarded(in_a_rollout(stable="canary"))
        await guarded.see(*[BAD] * 20)
        assert guarded.weights == FIRST


def led(live: Live, brings: Brought, *, has_run_out: bool = False) -> Live:
    """A live state in which somebody leads the shop, or has."""
    live = make_lease(live, "shop", Lease("rollout shop-1", 60.0, "hold", brings=brings))
    return run_out(live, "shop", 7.0) if has_run_out else live


class TestARolloutThatIsLed:
    """It brings `other`, which no rollout of the file names."""

    SPLIT: ClassVar = {"stable": 90, "other": 10}
    BRINGS = Brought("other", "stable", ABreaker())

    def a_shop(self, brings: Brought = BRINGS, **more: Any) -> Live:
        return led(set_split(in_a_rollout(), "shop", self.SPLIT, NEVER), brings, **more)

    @pytest.mark.parametrize("ran_out", [False, True], ids=["led", "no news of the controller"])
    async def test_the_version_that_it_brings_is_guarded_for_as_long_as_the_lease_is_there(self, ran_out: bool):
        guarded = Guarded(self.a_shop(has_run_out=ran_out))
        await guarded.see(*[Outcome.OK] * 180, version="stable")
        await guarded.see(*[BAD] * 5, version="other", address="127.0.0.1:9005")
        assert guarded.weights == {"stable": 90.0, "canary": 0.0, "other": 0.0}

    async def test_after_the_end_of_the_lease_it_is_not(self):
        guarded = Guarded(end_lease(self.a_shop(), "shop", "rollout shop-1"))
        await guarded.see(*[Outcome.OK] * 180, version="stable")
        await guarded.see(*[BAD] * 20, version="other", address="127.0.0.1:9005")
        assert guarded.weights["other"] == 10

    async def test_a_breaker_that_is_off_is_no_reason_to_take_that_of_the_service(self):
        live = set_split(a_shop(), "shop", self.SPLIT, NEVER)
        guarded = Guarded(led(live, Brought("other", "stable")))
        await guarded.see(*[BAD] * 20, version="other", address="127.0.0.1:9005")
        assert guarded.weights["other"] == 10

    async def test_the_versions_of_the_file_are_guarded_too(self):
        guarded = Guarded(led(in_a_rollout(), self.BRINGS))
        await guarded.see(*[Outcome.OK] * 180, version="stable")
        await guarded.see(*[BAD] * 5)
        assert guarded.weights == TAKEN

    async def test_without_the_version_that_it_replaces_there_is_nowhere_to_go(self):
        """A reload has taken it out of the file."""
        live = self.a_shop(Brought("other", "canary", ABreaker()))
        shop = live.config.services["shop"].model_dump(by_alias=True)
        del shop["versions"]["canary"]
        config = a_config({"shop": {**shop, "split": {"stable": 1}}})
        guarded = Guarded(reconfigure(live, config, NEVER, salts(config)))
        await guarded.see(*[BAD] * 20, version="other", address="127.0.0.1:9005")
        assert guarded.weights == {"stable": 90.0, "other": 10.0}


class TestCountersThatMove:
    async def test_the_burial_of_a_worker_is_no_failure(self):
        guarded = Guarded()
        slots = guarded.supervisor.slots
        await guarded.see(*[Outcome.OK] * 10)
        for _ in range(20):
            guarded.supervisor.attempt("canary", None)
        version, endpoint = slots.version("shop", "canary"), slots.endpoint("shop", "canary", "127.0.0.1:9003")
        guarded.supervisor.slabs[0].bury([version], [endpoint])
        await guarded.look()
        assert guarded.weights == FIRST

    async def test_what_was_before_the_first_look_does_not_count(self):
        supervisor = FakeSupervisor(a_shop())
        for _ in range(20):
            supervisor.attempt("canary", BAD)
        Breaker(supervisor).look()
        assert supervisor.live.generation == 1

    @pytest.mark.parametrize(
        ("first", "then", "difference"),
        [
            ({1: Counts(10, 2)}, {1: Counts(15, 3)}, Counts(5, 1)),
            ({1: Counts(10, 2)}, {1: Counts(3, 1)}, Counts(0, 0)),
            ({1: Counts(10, 2)}, {2: Counts(30, 3)}, Counts(0, 0)),
            ({1: Counts(10, 2), 2: Counts(1, 0)}, {2: Counts(2, 1)}, Counts(1, 1)),
        ],
        ids=["rose", "started again", "another slot", "one is gone"],
    )
    def test_a_tally_counts_only_what_a_slot_has_more(
        self, first: dict[int, Counts], then: dict[int, Counts], difference: Counts
    ):
        tally = Tally()
        assert tally.since_last(first) == Counts()
        assert tally.since_last(then) == difference


class TestARefusal:
    async def test_a_change_that_cannot_be_made_is_told_to_nobody_and_tried_again(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("proxy.breaker.RETRY_PAUSE", 0)
        guarded = Guarded()
        change = guarded.supervisor.change

        async def refuse(step: Callable[[Live], Live]) -> Live:
            raise Refused(507, "the state cannot be kept")

        monkeypatch.setattr(guarded.supervisor, "change", refuse)
        await guarded.see(*[BAD] * 5)
        assert guarded.supervisor.events.published == []
        monkeypatch.setattr(guarded.supervisor, "change", change)
        await guarded.see(BAD)
        assert guarded.weights == TAKEN

    async def test_one_that_is_in_force_all_the_same_is_told(self, monkeypatch: pytest.MonkeyPatch):
        guarded = Guarded()
        change = guarded.supervisor.change

        async def not_confirmed(step: Callable[[Live], Live]) -> Live:
            await change(step)
            raise Refused(503, "not every worker is ready")

        monkeypatch.setattr(guarded.supervisor, "change", not_confirmed)
        await guarded.see(*[BAD] * 5)
        assert guarded.weights == TAKEN
        assert [kind for kind, _ in guarded.supervisor.events.published] == [BY]

    def test_a_version_whose_weight_is_gone_meanwhile_is_left_alone(self):
        for live in (activate(a_shop(), "shop", "stable", NEVER), set_split(a_shop(), "shop", {"stable": 1}, NEVER)):
            with pytest.raises(Refused, match="shop/canary has no weight any more"):
                taken_out(live, "shop", "canary", "stable", NEVER)


async def test_it_runs_until_it_is_cancelled():
    supervisor = FakeSupervisor(a_shop())
    running = asyncio.create_task(Breaker(supervisor).run())
    await asyncio.sleep(0)
    for _ in range(5):
        supervisor.attempt("canary", BAD)
    await until(lambda: supervisor.events.published)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
