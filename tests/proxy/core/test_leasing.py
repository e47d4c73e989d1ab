"""The steps on a lease: who may make and end one, and what follows when it runs out."""

from dataclasses import replace

import pytest

from config.guard import Brought
from config.service import Breaker
from proxy.core.leasing import end_lease, make_lease, run_out
from proxy.core.live import Change, Lease, Live, Refused, RunOut, activate, set_endpoint_state, set_split
from proxy.core.overlay import from_config, overlay
from tests.support.lives import SERVICES, a_config, a_live, salts

ME = "rollout shop-1"
HOLD = Lease(ME, 60.0, "hold")
BRINGS = replace(HOLD, brings=Brought("canary", "stable", Breaker(window=30, fails=3)))
BACK = Lease(ME, 60.0, "rollback", weights={"stable": 100.0, "canary": 0.0})
WHY = "nothing was heard of rollout shop-1 for 60 s"


def led(lease: Lease, by: str = ME) -> Live:
    """The shop in the middle of a rollout."""
    return make_lease(set_split(a_live(), "shop", {"stable": 90, "canary": 10}, Change(by)), "shop", lease)


def lease_of(live: Live, service: str = "shop") -> Lease | None:
    return live.services[service].lease


def test_a_lease_is_the_next_generation_and_the_same_again_is_none():
    before = a_live()
    live = make_lease(before, "shop", BACK)
    assert (live.generation, lease_of(live)) == (before.generation + 1, BACK)
    assert live.services["shop"].last_change == before.services["shop"].last_change
    assert make_lease(live, "shop", BACK) is live
    assert lease_of(make_lease(live, "shop", HOLD)) == HOLD


@pytest.mark.parametrize(
    ("lease", "problems"),
    [
        (replace(HOLD, active="stable"), {"active": "is for rollback only; hold keeps the split as it is"}),
        (replace(BACK, weights=None), {"": "rollback needs the split to go back to: weights, or active"}),
        (replace(BACK, active="stable"), {"": "rollback needs the split to go back to: weights, or active"}),
        (replace(BACK, weights={"stabel": 1.0}), {"weights.stabel": "there is no version 'stabel'"}),
        (replace(BACK, weights=None, active="blue"), {"active": "shop has no version 'blue'"}),
        (
            replace(HOLD, brings=Brought("canry", "stabel")),
            {"brings.version": "shop has no version 'canry'", "brings.reference": "shop has no version 'stabel'"},
        ),
        (
            replace(HOLD, brings=Brought("canary", "canary")),
            {"brings.reference": "canary cannot be compared with itself"},
        ),
    ],
)
def test_a_lease_that_cannot_be_is_refused(lease: Lease, problems: dict[str, str]):
    with pytest.raises(Refused) as refused:
        make_lease(a_live(), "shop", lease)
    assert refused.value.status == 422
    assert {problem.path: problem.message for problem in refused.value.problems} == problems


def test_only_its_holder_ends_a_lease_or_whoever_insists():
    live = led(HOLD)
    with pytest.raises(Refused, match="rollout shop-1 holds it, not carol") as refused:
        end_lease(live, "shop", "carol")
    assert refused.value.status == 409
    assert lease_of(end_lease(live, "shop", "carol", force=True)) is None
    ended = end_lease(live, "shop", ME)
    assert (ended.generation, lease_of(ended)) == (live.generation + 1, None)
    with pytest.raises(Refused, match="shop has no lease"):
        end_lease(ended, "shop", ME)


class TestRunningOut:
    def test_to_hold_changes_nothing_and_says_so(self):
        live = led(HOLD)
        after = run_out(live, "shop", 7.0)
        assert lease_of(after) == replace(HOLD, ran_out=RunOut("held", WHY, 7.0))
        assert after.services["shop"] == replace(live.services["shop"], lease=lease_of(after))
        assert after.generation == live.generation + 1

    def test_to_roll_back_sets_the_split_in_the_same_generation(self):
        live = led(BACK)
        after = run_out(live, "shop", 7.0)
        shop = after.services["shop"]
        assert dict(shop.weights) == {"stable": 100.0, "canary": 0.0}
        assert shop.split_change == shop.last_change == Change("lease", WHY, 7.0, live.generation + 1)
        assert lease_of(after) == replace(BACK, ran_out=RunOut("rolled back", WHY, 7.0))
        assert after.generation == live.generation + 1

    def test_a_pool_is_switched_back(self):
        live = activate(a_live(), "cart", "green", Change("rollout cart-1"))
        live = make_lease(live, "cart", Lease("rollout cart-1", 5.0, "rollback", active="blue"))
        assert run_out(live, "cart", 7.0).services["cart"].active == "blue"

    def test_it_happens_once(self):
        after = run_out(led(BACK), "shop", 7.0)
        with pytest.raises(Refused, match="no lease that could run out"):
            run_out(after, "shop", 8.0)
        with pytest.raises(Refused, match="no lease that could run out"):
            run_out(a_live(), "shop", 8.0)

    def test_a_split_that_the_holder_has_made_with_a_named_token_is_taken_back(self):
        change = Change("controller-token", actor="rollout shop-1")
        after = run_out(set_split(led(BACK), "shop", {"stable": 1, "canary": 1}, change), "shop", 7.0)
        assert after.services["shop"].weights == {"stable": 100.0, "canary": 0.0}

    def test_a_split_that_a_person_has_set_since_stays(self):
        live = set_split(led(BACK), "shop", {"stable": 1, "canary": 1}, Change("carol"))
        after = run_out(live, "shop", 7.0)
        assert after.services["shop"].weights == {"stable": 1.0, "canary": 1.0}
        why = f"{WHY}; carol has changed the split since, so it stays"
        assert lease_of(after) == replace(BACK, ran_out=RunOut("held", why, 7.0))

    def test_an_endpoint_that_a_person_has_changed_is_no_word_about_the_split(self):
        live = set_endpoint_state(led(BACK), "shop", "canary", "127.0.0.1:9003", "drain", Change("carol"))
        assert run_out(live, "shop", 7.0).services["shop"].weights["canary"] == 0

    def test_what_the_breaker_has_taken_stays_its_own(self):
        live = set_split(led(BACK), "shop", {"stable": 90, "canary": 0}, Change("breaker", "breaker: 5 failed"))
        shop = run_out(live, "shop", 7.0).services["shop"]
        assert (dict(shop.weights), shop.split_change.by) == ({"stable": 90.0, "canary": 0.0}, "breaker")
        assert shop.lease == replace(BACK, ran_out=RunOut("rolled back", WHY, 7.0))

    def test_a_way_back_that_is_gone_holds(self):
        live = led(BACK)
        config = a_config({"shop": {"versions": {"canary": SERVICES["shop"]["versions"]["canary"]}}})
        live = from_config(config, overlay(live), salts(config), Change("reload"))
        lease = lease_of(run_out(live, "shop", 7.0))
        assert lease is not None
        assert lease.ran_out is not None
        assert lease.ran_out.done == "held"
        assert "cannot go back: The split of shop cannot be set; there is no version 'stable'" in lease.ran_out.reason

    def test_a_lease_that_is_made_again_begins_anew(self):
        assert lease_of(make_lease(run_out(led(HOLD), "shop", 7.0), "shop", HOLD)) == HOLD


def test_a_lease_outlives_a_restart_as_it_is():
    for live in (led(BACK), led(BRINGS), run_out(led(BACK), "shop", 7.0), make_lease(a_live(), "shop", HOLD)):
        again = from_config(live.config, overlay(live), salts(live.config), Change("file", generation=9))
        assert lease_of(again) == lease_of(live)
