"""The verdict over a load: counts that add up, shares that belong to their targets, the budget, the rollout."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.tally import PER_SECOND, Kind, Tally
from loadtests.verdict import Account, Stretch, complaints_of_rollout, told, tolerance

BEFORE = {"stable": 0.9, "canary": 0.1}
AFTER = {"stable": 0.5, "canary": 0.5}


def tally_of(stable: int, canary: int, kind: Kind = "dealt", failures: int = 0, began: float = 100.0) -> Tally:
    tally = Tally()
    for version, number in (("stable", stable), ("canary", canary)):
        for _ in range(number):
            tally.count("steady", began, kind, version, failed=False)
    for _ in range(failures):
        tally.count("steady", began, kind, None, failed=True)
    return tally


def judged(tally: Tally, targets: dict[str, float] | None = None, budget: float = 0.0, alone: bool = True) -> list[str]:
    account = Account(tally)
    account.see(targets or BEFORE, 99.0, 99.1)
    account.settle()
    return [*account.complaints(budget, alone=alone)]


def test_a_request_counts_in_the_moment_in_which_it_began():
    tally = tally_of(1, 0, began=100.3)
    tally.count("preview", 100.3, "forced", "canary", failed=False)
    assert tally == Tally(
        requests=Counter(steady=1, preview=1),
        answered=Counter({(100 * PER_SECOND + 1, "dealt", "stable"): 1}),
    )


requests = st.tuples(
    st.sampled_from(["steady", "sticky"]),
    st.floats(0, 3),
    st.sampled_from(["dealt", "keyed"]),
    st.sampled_from(["stable", "canary", None]),
    st.booleans(),
)


@given(st.lists(st.tuples(requests, st.integers(0, 2), st.booleans())))
def test_the_counts_of_many_workers_are_those_of_one(made: list[tuple[Any, int, bool]]):
    alone, master, workers = Tally(), Tally(), [Tally() for _ in range(3)]
    for (name, began, kind, version, failed), place, reports in made:
        for tally in (alone, workers[place]):
            tally.count(name, began, kind, version, failed=failed)
        if reports:
            master.merge(json.loads(json.dumps(workers[place].drain())))
    for worker in workers:
        master.merge(worker.drain())
    assert (master, [*workers]) == (alone, [Tally()] * 3)


def test_shares_near_their_targets_and_no_failure_are_good():
    assert judged(tally_of(9001, 999)) == []


def test_a_share_that_is_off_is_told_for_each_version():
    assert judged(tally_of(880, 120)) == [
        "stable got 88.00% of 1000 requests where it should have 90.00% ± 1.60%",
        "canary got 12.00% of 1000 requests where it should have 10.00% ± 1.60%",
    ]


def test_a_version_that_got_nothing_is_told():
    assert "canary got 0.00% of 1000 requests where it should have 10.00% ± 1.60%" in judged(tally_of(1000, 0))


def test_nothing_may_go_to_a_version_without_a_share():
    assert judged(tally_of(1000, 0), {"stable": 1.0, "canary": 0.0}) == []
    assert len(judged(tally_of(9999, 1), {"stable": 1.0, "canary": 0.0})) == 2
    assert len(judged(tally_of(9999, 1), {"stable": 1.0})) == 2


@pytest.mark.parametrize(("budget", "is_good"), [(0.0, False), (0.004, True), (0.0001, False)])
def test_failures_within_the_budget_are_good(budget: float, is_good: bool):
    assert (not judged(tally_of(900, 100, failures=3), budget=budget)) is is_good


def test_no_request_at_all_is_not_good():
    assert judged(Tally(), budget=1.0) == ["no request was made"]


def test_answers_that_do_not_say_their_version_are_not_good_where_shares_are_asked_for():
    assert judged(tally_of(0, 0, failures=5), budget=1.0) == [
        "no answer says its version: set expose_version: true on the service, or judge without --admin"
    ]
    assert [*Account(tally_of(0, 0, failures=5)).complaints(1.0)] == []


def test_chance_is_allowed_for_where_it_decides():
    assert tolerance(0.1, dealt=1000, keyed=0) == 16 / 1000
    assert tolerance(0.1, 1000, 0) < tolerance(0.1, 1000, 0, alone=False) < tolerance(0.1, 500, 0, alone=False)
    assert tolerance(0.1, 1000, 1000) > tolerance(0.1, 10_000, 1000)
    assert judged(tally_of(880, 120)) != []
    assert judged(tally_of(880, 120), alone=False) == judged(tally_of(880, 120, kind="keyed")) == []


def test_requests_belong_to_the_targets_of_their_time_but_not_near_a_change():
    account = Account(Tally())
    account.see(BEFORE, 90.0, 90.1)
    account.see(BEFORE, 104.0, 104.1)
    account.see(AFTER, 104.5, 104.6)
    account.see(AFTER, 110.0, 110.1)
    near = [103.5, 103.75, 104.0, 104.5, 105.0]
    inside = [(80.0, 9, 1), (103.25, 9, 1), (105.25, 5, 5), (500.0, 5, 5)]
    for began, stable, canary in [*inside, *((at, 7, 0) for at in near)]:
        account.tally.merge(tally_of(stable, canary, began=began).drain())
    account.settle()
    assert account.stretches == [
        Stretch(BEFORE, 90.1, 104.0, Counter({("dealt", "stable"): 18, ("dealt", "canary"): 2})),
        Stretch(AFTER, 104.6, 110.0, Counter({("dealt", "stable"): 10, ("dealt", "canary"): 10})),
    ]
    assert account.tally.answered == Counter()


def test_a_long_load_is_settled_as_it_goes_on():
    account = Account(Tally())
    account.see(BEFORE, 90.0, 90.1)
    account.see(BEFORE, 300.0, 300.1)
    for began in (100.0, 290.0):
        account.tally.merge(tally_of(9, 1, began=began).drain())
    account.settle_old(now=300.0)
    assert (account.stretches[0].total("dealt"), account.tally.answered.total()) == (10, 10)
    assert account.tally.requests == Counter(steady=20)


def test_each_stretch_with_requests_has_its_line():
    stretch = Stretch(BEFORE, 0.0, 1.0, Counter({("dealt", "stable"): 80, ("keyed", "canary"): 20}))
    assert [*told([Stretch(AFTER, 0.0, 1.0), stretch])] == [
        "of 100 requests: stable 80.00% (target 90.00%), canary 20.00% (target 10.00%)"
    ]


@pytest.mark.parametrize(
    ("phase", "to_its_end", "found"),
    [
        ("step", False, []),
        ("promoted", True, []),
        ("step", True, ["rollout shop-1 is step: it waits"]),
        ("rolled_back", False, ["rollout shop-1 is rolled back: it waits"]),
        (None, False, []),
        (None, True, ["no rollout of shop was under way"]),
    ],
)
def test_a_rollout_must_go_on_or_come_to_its_good_end(phase: str | None, to_its_end: bool, found: list[str]):
    rollout = phase and {"id": "shop-1", "phase": phase, "why": "", "waits": "it waits"}
    assert [*complaints_of_rollout(rollout or None, "shop", to_its_end=to_its_end)] == found
