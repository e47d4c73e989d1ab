"""The benchmark of decisions: the rules of others do what their sources say, and seeds make it repeatable."""

import math
from typing import Any

import numpy as np
import pytest

from controller.core.buckets import bin_of
from loadtests.decisions.__main__ import LONG, rules
from loadtests.decisions.dealing import DEALS, is_rolled_back
from loadtests.decisions.efficiency import Efficiency, error_races, latency_races, measure
from loadtests.decisions.nearest import nearest_good, nearest_ordered, positive, relative_entropy
from loadtests.decisions.results import BARE, OURS, WARM, Cell, Table, summed, targets, upper_bound
from loadtests.decisions.rollouts import Outcome, Rule
from loadtests.decisions.rules.argo import Argo
from loadtests.decisions.rules.flagger import Flagger
from loadtests.decisions.rules.kayenta import Kayenta, is_high
from loadtests.decisions.rules.oracle import Oracle
from loadtests.decisions.rules.prometheus import histogram_quantile
from loadtests.decisions.rules.serinus import Serinus
from loadtests.decisions.traffic import BINS, FASTEST, USUAL, slower
from loadtests.decisions.tripping import does_trip
from loadtests.decisions.worlds import Case, bad_cases, good_cases

CASES = {case.name: case for case in [*good_cases(), *bad_cases()]}
BROKEN, EQUAL, SILENT = CASES["100% errors, 50/s"], CASES["equal, 50/s"], CASES["no traffic for 10 min"]


def run(rule: Rule, case: Case, seed: int = 1) -> Outcome:
    return rule.run(case, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("rule", "case", "ended", "at"),
    [
        (Flagger("", 1), BROKEN, "rolled back", 120),
        (Flagger("", 5), BROKEN, "rolled back", 360),
        (Flagger("", 5), EQUAL, "promoted", 300),
        (Flagger("", 1), SILENT, "rolled back", 180),
        (Argo("", 60, 0.99, 0), BROKEN, "rolled back", 60),
        (Argo("", 300, 0.95, 3), BROKEN, "rolled back", 1200),
        (Argo("", 300, 0.95, 3), EQUAL, "promoted", 2400),
        (Argo("", 60, 0.99, 0), SILENT, "rolled back", 120),
        (Kayenta(), BROKEN, "rolled back", 1800),
        (Kayenta(), EQUAL, "promoted", 3600),
    ],
)
def test_a_rule_ends_when_its_source_says(rule, case: Case, ended: str, at: int):
    outcome = run(rule, case)
    assert (outcome.ended, outcome.at) == (ended, at)


@pytest.mark.parametrize("rule", [Serinus(), Flagger("", 5), Oracle()])
def test_the_same_seed_gives_the_same_rollout(rule):
    assert run(rule, BROKEN) == run(rule, BROKEN)


@pytest.mark.parametrize("world", ["equal, 50/s", "outage of both, 30 %, 3 min", "outage, 30 % and 36 %"])
def test_the_breaker_of_a_rollout_takes_out_no_good_version(world: str):
    number = [case.name for case in good_cases()].index(world)
    assert not any(does_trip(number, seed) for seed in range(10))


def test_nobody_spoils_less_than_the_oracle():
    costs = [np.mean([run(rule, BROKEN, seed).excess for seed in range(20)]) for rule in (Oracle(), Serinus())]
    assert costs == sorted(costs)


def test_kayenta_looks_at_the_tolerance_and_lets_the_ratio_go_without_errors_of_the_baseline():
    zeros, points = np.zeros(60), np.linspace(0.01, 0.02, 60)
    assert is_high(points, zeros)
    assert is_high(2 * points, points)
    assert not is_high(points, points)
    assert not is_high(zeros, zeros)


def test_a_quantile_is_linear_within_a_bucket_of_prometheus():
    latencies = np.zeros(BINS, dtype=np.int64)
    latencies[bin_of(0.3) - FASTEST] = 100
    assert histogram_quantile(0.5, latencies) == pytest.approx(0.375)
    assert math.isnan(histogram_quantile(0.5, np.zeros(BINS, dtype=np.int64)))


def test_the_nearest_good_rates_lie_on_the_margin_and_no_neighbour_is_nearer():
    share, old, new = 0.05, 0.001, 0.05
    x, y = nearest_good(share, old, new, 1.25, 0.005)

    def distance(y: float) -> float:
        return share * relative_entropy(new, 1.25 * y + 0.005) + (1 - share) * relative_entropy(old, y)

    assert x == pytest.approx(1.25 * y + 0.005)
    assert distance(y) <= min(distance(0.9 * y), distance(1.1 * y))


def test_the_nearest_ordered_latencies_are_in_order():
    old, new = nearest_ordered(0.05, positive(USUAL), positive(slower(USUAL, 2.0)))
    assert (old.sum(), new.sum()) == (pytest.approx(1), pytest.approx(1))
    assert (np.cumsum(new) >= np.cumsum(old) - 1e-9).all()


@pytest.mark.parametrize("race", [error_races()[2], latency_races()[2]], ids=lambda race: race.name)
def test_a_race_ends_for_everybody(race):
    measured = measure(race, runs=5, seed=1)
    assert min(measured.oracle, measured.ours, measured.guarded) > 0


def test_outcomes_are_summed_by_what_matters_for_the_world():
    outcomes = [Outcome("rolled back", 10, 4.0, 8), Outcome("rolled back", 30, 6.0, 12), Outcome("promoted", 99, 0, 0)]
    deviation: Any = pytest.approx(1.96)
    assert summed(BROKEN, outcomes) == Cell(3, 2, 1, 20, 5.0, 10, deviation)
    assert summed(EQUAL, outcomes) == Cell(3, 2, 1, 99, None, None)


def costs_of(**excess: float) -> Table:
    """A table in which every world costs each rule the same."""
    good, bad = Cell(10, 0, 10, 250, None, None), {OURS: excess["ours"], WARM: excess["warm"], BARE: excess["bare"]}
    flagger = {"Flagger (5)": Cell(10, 10, 0, 360, 90.0, 99.0)}
    return {
        case.name: {rule: good if case.is_good else Cell(10, 10, 0, 9, cost, cost) for rule, cost in bad.items()}
        | flagger
        for case in CASES.values()
    }


def test_costs_are_held_against_the_targets_as_it_ships_and_as_the_design_measures():
    race = Efficiency("", bound=1.0, oracle=1.0, ours=1.0, guarded=1.5, median=1.0, p95=1.0)
    found = targets(list(CASES.values()), costs_of(ours=24.0, warm=9.0, bare=4.5), [race], [race])
    statuses = {target.what: (target.measured, target.status) for target in found if target.what.startswith("excess")}
    part, whole, ratio = (
        "excess bad requests, 5 and 20 %, the most",
        "excess bad requests, 100 %, the most",
        "excess of Flagger (5) / ours, least",
    )
    assert statuses == {
        part: ("24.0", "missed"),
        f"{part}, no warm-up": ("9.0", "stretch"),
        f"{part}, bare": ("4.5", "stretch"),
        whole: ("24.0", "stretch"),
        f"{whole}, no warm-up": ("9.0", "stretch"),
        f"{whole}, bare": ("4.5", "stretch"),
        ratio: ("3.8x", "missed"),
        f"{ratio}, no warm-up": ("10.0x", "missed"),
        f"{ratio}, bare": ("20.0x", "reached"),
    }


def test_what_is_left_out_of_the_rule_makes_it_faster():
    ours = [rule for rule in rules(same_steps=False) if isinstance(rule, Serinus)]
    assert [rule.name for rule in ours] == [OURS, WARM, BARE]
    costs = [np.mean([run(rule, BROKEN, seed).excess for seed in range(10)]) for rule in ours]
    assert costs == sorted(costs, reverse=True)


def test_every_rule_has_its_own_number_of_runs():
    shipped, _, bare, flagger, *_ = rules(same_steps=False)
    assert [LONG.of(rule, EQUAL) for rule in (shipped, flagger)] == [LONG.good, LONG.others]
    assert [LONG.of(rule, BROKEN) for rule in (shipped, bare, flagger)] == [LONG.bad, LONG.bad, LONG.others]


@pytest.mark.parametrize("deal", DEALS)
def test_failing_requests_that_are_fixed_are_nobodys_fault_however_they_are_dealt(deal: str):
    assert not any(is_rolled_back("bursts of 15", deal, 0.5, seed) for seed in range(2))


@pytest.mark.parametrize(("seen", "of", "bound"), [(0, 2000, 0.0015), (20, 2000, 0.0145), (3, 3, 1.0)])
def test_shares_have_an_upper_bound(seen: int, of: int, bound: float):
    assert upper_bound(seen, of) == pytest.approx(bound, abs=1e-4)
