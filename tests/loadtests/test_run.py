"""The verdict over a load test, and that it agrees with the locustfile, which no test can import."""

import ast
from pathlib import Path

import pytest

from loadtests import run
from loadtests.run import Load, complaints, complaints_of_rollout, tolerance

LOCUSTFILE = Path(run.__file__).with_name("locustfile.py")


def shop(stable: float | None, canary: float | None, target: float = 0.1) -> dict[str, object]:
    versions = {"stable": (1 - target, stable), "canary": (target, canary)}
    return {"versions": {name: {"target": share, "actual": actual} for name, (share, actual) in versions.items()}}


def load(steady: int = 10_000, sticky: int = 0, failures: int = 0) -> Load:
    return Load({"steady": steady, "sticky": sticky, "preview": 100}, failures)


def test_a_load_is_read_from_the_counts_of_every_name():
    counts = {"steady": {"requests": 5, "failures": 1}, "sticky": {"requests": 2, "failures": 2}}
    assert Load.of(counts) == Load({"steady": 5, "sticky": 2}, failures=3)
    assert Load.of(counts).total == 7


def test_shares_near_their_targets_and_no_failure_are_good():
    assert list(complaints(load(), shop(0.9001, 0.0999), budget=0)) == []


def test_a_share_that_is_off_is_told_for_each_version():
    assert list(complaints(load(), shop(0.88, 0.12), budget=0)) == [
        "stable got 88.00% where it should have 90.00% ± 0.16%",
        "canary got 12.00% where it should have 10.00% ± 0.16%",
    ]


def test_a_version_that_got_nothing_is_told():
    assert "canary got no requests where it should have 10.00% ± 0.16%" in complaints(load(), shop(0.9, None), budget=0)


@pytest.mark.parametrize(("budget", "is_good"), [(0.0, False), (0.001, True), (0.0001, False)])
def test_failures_within_the_budget_are_good(budget: float, is_good: bool):
    assert (not list(complaints(load(failures=3), shop(0.9, 0.1), budget))) is is_good


def test_no_request_at_all_is_not_good():
    assert list(complaints(Load({}, 0), shop(0.9, 0.1), budget=1)) == ["no request was made"]


def test_nothing_may_go_to_a_version_without_a_share():
    assert list(complaints(load(), shop(1.0, 0.0, target=0.0), budget=0)) == []
    assert len(list(complaints(load(), shop(0.9999, 0.0001, target=0.0), budget=0))) == 2


def test_sticky_users_allow_for_chance_and_steady_ones_do_not():
    assert tolerance(0.1, steady=1000, sticky=0) == run._SLACK / 1000
    assert tolerance(0.1, steady=1000, sticky=1000) > tolerance(0.1, steady=10_000, sticky=1000)


def test_the_locustfile_has_the_numbers_and_names_that_the_verdict_relies_on():
    constants = {
        target.id: node.value.value
        for node in ast.walk(ast.parse(LOCUSTFILE.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert (constants["identities"], constants["COUNTS"]) == (run._IDENTITIES, run.COUNTS)


def test_a_rollout_that_is_still_in_its_step_is_good():
    assert list(complaints_of_rollout(None)) == []
    assert list(complaints_of_rollout({"id": "shop-1", "phase": "step", "why": ""})) == []


def test_a_rollout_that_has_left_its_step_is_not_good():
    rollout = {"id": "shop-1", "phase": "rolled_back", "why": "errors: too many"}
    assert list(complaints_of_rollout(rollout)) == ["rollout shop-1 is rolled back: errors: too many"]
