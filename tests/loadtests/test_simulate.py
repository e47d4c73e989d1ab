"""Simulated rollouts of a file's policy: decided as the controller would, summed up as people need it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.core.terms import ErrorTerms, LatencyTerms, Terms
from loadtests.decisions.rollouts import Outcome
from loadtests.decisions.rules.policy import Policy
from loadtests.simulate.drawing import page, picture, sentences
from loadtests.simulate.running import OURS, Task, affordable_runs, simulate
from loadtests.simulate.scenarios import Change, Traffic, case_of, usual_changes
from loadtests.simulate.summary import Cell, Spread, cell_in_words, summed, verdict_in_words
from tests.config.loading import config_of

FILE = """
listen: [{{address: 127.0.0.1:8080}}]
services:
  shop:
    versions: {{stable: {{endpoints: ["127.0.0.1:9001"]}}, canary: {{endpoints: ["127.0.0.1:9002"]}}}}
    split: {{stable: 1}}
rollouts: {{shop: {{from: stable, to: canary, {settings}}}}}
"""
STEPS = "strategy: canary, steps: [{weight: 10, bake: 40s, max: 10m}, {weight: 50, bake: 20s, max: 10m}]"
GOOD, BROKEN, HALF = Change("good"), Change("everything fails", errors=1.0), Change("half fails", errors=0.5)


def policy(settings: str = STEPS) -> Policy:
    return Policy(config_of(FILE.format(settings=settings)), "shop")


def run(rule: Policy, change: Change, *, rate: float = 50.0, seed: int = 1) -> Outcome:
    case = case_of(Traffic(rate=rate), change, Terms())
    return rule.run(case, np.random.default_rng(seed))


def test_a_good_version_is_promoted_after_the_bakes_of_the_file():
    outcome = run(policy(), GOOD)
    assert (outcome.ended, outcome.by) == ("promoted", "")
    assert outcome.at >= 60


def test_the_same_seed_gives_the_same_rollout():
    assert run(policy(), HALF) == run(policy(), HALF)


@pytest.mark.parametrize(("breaker", "by"), [("{window: 20, fails: 5}", "breaker"), ("off", "error-rate")])
def test_a_broken_version_is_rolled_back_by_what_the_file_has(breaker: str, by: str):
    outcome = run(policy(f"{STEPS}, breaker: {breaker}"), BROKEN)
    assert (outcome.ended, outcome.by) == ("rolled back", by)
    assert outcome.at <= 40


def test_what_a_failure_leads_to_is_as_in_the_file():
    assert run(policy(f"{STEPS}, breaker: off, on: {{fail: hold}}"), BROKEN).ended == "held"


def test_without_checks_and_breaker_nothing_is_seen():
    outcome = run(policy(f"{STEPS}, breaker: off, checks: [{{kind: signal}}]"), BROKEN)
    assert (outcome.ended, outcome.at) == ("promoted", 60)


def test_a_person_is_there_at_once_where_one_is_needed():
    assert run(policy(f"{STEPS}, promote: manual"), GOOD).at == 60


def test_checks_that_ask_somebody_else_pass():
    check = "{kind: http, url: 'http://127.0.0.1:1/', at: before}, {kind: exec, command: 'false'}"
    assert run(policy(f"{STEPS}, promote: time, checks: [{check}]"), GOOD).ended == "promoted"


def test_a_switch_of_pools_is_judged_by_the_past_of_the_old_one():
    blue_green = policy("strategy: blue-green, bake: 60s")
    assert run(blue_green, GOOD).ended == "promoted"
    assert (run(blue_green, BROKEN).ended, run(blue_green, BROKEN).by) == ("rolled back", "error-rate")


def test_without_traffic_it_holds_for_people():
    outcome = run(policy(), GOOD, rate=0.0001)
    assert (outcome.ended, outcome.at) == ("held", 600)


@pytest.mark.parametrize(
    ("change", "is_good", "metric"),
    [
        (Change("", errors=0.006), True, "errors"),
        (Change("", errors=0.007), False, "errors"),
        (Change("", slower=1.18), True, "errors"),
        (Change("", slower=1.3), False, "latency"),
        (Change("", bursts=0.01, outage=0.3, cold_start=0.2), True, "errors"),
    ],
)
def test_a_version_is_good_within_the_margins_of_the_policy(change: Change, is_good: bool, metric: str):
    case = case_of(Traffic(), change, Terms(errors=ErrorTerms(), latency=LatencyTerms()))
    assert (case.is_good, case.metric) == (is_good, metric)


def test_the_usual_scenarios_are_good_and_bad_ones():
    cases = [case_of(Traffic(), change, Terms()) for change in usual_changes(Traffic())]
    assert [case.is_good for case in cases] == [True, False, False, False, False, False, True, True, True]


def test_a_cell_counts_ends_and_causes():
    ends = [Outcome("rolled back", 10, 4.0, 8, "breaker"), Outcome("held", 30, 6.0, 12, "error-rate")]
    bad = summed(case_of(Traffic(), BROKEN, Terms()), [*ends, Outcome("promoted", 99, 70.0, 80)])
    assert bad.causes == {"breaker": 1, "error-rate": 1}
    assert (bad.wrong, bad.rolled_back, bad.held, bad.time, bad.bad) == (1, 1, 1, Spread(30, 30), Spread(6, 6))
    assert cell_in_words(bad) == "30s (30s)\n6 bad (6)\n1 of 3 missed\n1 of 3 held"
    good = summed(case_of(Traffic(), GOOD, Terms()), [*ends, Outcome("promoted", 99, 70.0, 80)])
    assert (good.wrong, good.time, good.bad) == (1, Spread(99, 99), None)


def a_cell(**changes: Any) -> Cell:
    return replace(Cell(20, False, 20, 0, 0, {"breaker": 20}, Spread(12, 15), Spread(5, 6)), **changes)


def test_sentences_say_what_a_policy_does():
    assert verdict_in_words("broken", a_cell()) == (
        "broken: rolled back after 12s and 5 bad requests (95 of 100: 15s and 6), by breaker; never missed "
        "(the chance is below 14 %)."
    )
    missed = a_cell(rolled_back=0, promoted=20, time=None, bad=None, causes={})
    assert verdict_in_words("slow", missed) == "slow: this policy does not see it; every rollout went through."
    good = a_cell(is_good=True, rolled_back=1, promoted=19, time=Spread(60, 61), bad=None, causes={"breaker": 1})
    assert verdict_in_words("good", good) == (
        "good: rolled back by mistake in 1 of 20 rollouts (the chance is below 22 %), by breaker; "
        "everybody has it after 1m."
    )


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(settings: str = STEPS) -> str:
        path = tmp_path / "serinus.yaml"
        path.write_text(FILE.format(settings=settings))
        return str(path)

    return write


def test_all_rules_meet_all_scenarios_and_the_number_of_processes_changes_nothing(file: Callable[..., str]):
    task = Task(file(), "shop", Traffic(rate=20.0), (GOOD, BROKEN), runs=2, seed=1, same_steps=True)
    told: list[tuple[int, int]] = []
    table = simulate(task, 1, lambda done, total: told.append((done, total)))
    assert told == [(number, 10) for number in range(1, 11)]
    assert {name: len(row) for name, row in table.items()} == {"good": 5, "everything fails": 5}
    assert (table["everything fails"][OURS].rolled_back, table["good"][OURS].promoted) == (2, 2)
    assert simulate(task, 2, lambda done, total: None) == table
    assert picture(task, table).count("<rect") > 10
    assert "everybody has it" in page(task, table)
    assert next(sentences(task, table)).startswith("With this policy, in 2 simulated rollouts each")


def test_long_policies_are_run_less_often():
    short, usual = policy(), policy("strategy: canary")
    assert affordable_runs(short) == 200
    assert 10 <= affordable_runs(usual) < 50
