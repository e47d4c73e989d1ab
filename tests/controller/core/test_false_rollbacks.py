"""A good version is not rolled back: whole rollouts of good versions under bad circumstances, by simulation.

The short form is part of every test run. SERINUS_LONG=1 runs 2,000 rollouts of each world, an hour or so on one core.
Seeds are fixed: a failure is a change of the judge, not of luck.
"""

import os

import numpy as np
import pytest

from loadtests.decisions.rules.serinus import Serinus
from loadtests.decisions.worlds import Case, bad_cases, good_cases
from tests.support.decision_oracle import upper_bound

IS_LONG = os.environ.get("SERINUS_LONG") == "1"
RUNS = 2000 if IS_LONG else 12
#: One more than the target of 1 % allows for the uncertainty of so many runs: of 2,000 runs, 20 may be rolled back.
ALLOWED = 0.015 if IS_LONG else 0.25

pytestmark = pytest.mark.timeout(7200 if IS_LONG else 120)


def by_name(case: Case) -> str:
    return case.name


def rolled_back(case: Case, runs: int, seed: int) -> int:
    outcomes = (Serinus().run(case, np.random.default_rng([seed, run])) for run in range(runs))
    return sum(outcome.ended == "rolled back" for outcome in outcomes)


@pytest.mark.parametrize("case", good_cases(), ids=by_name)
def test_a_good_version_is_hardly_ever_rolled_back(case: Case):
    assert upper_bound(rolled_back(case, RUNS, seed=11), RUNS) <= ALLOWED


def test_over_all_worlds_together_the_short_form_is_sharp_as_well():
    """Worlds share the bound of alpha: together, their runs say more than each alone."""
    cases = good_cases()
    runs = 6
    seen = sum(rolled_back(case, runs, seed=12) for case in cases)
    assert upper_bound(seen, runs * len(cases)) <= 0.05


@pytest.mark.parametrize("case", [case for case in bad_cases() if case.is_gross], ids=by_name)
def test_a_grossly_bad_version_is_always_rolled_back(case: Case):
    runs = 10
    assert rolled_back(case, runs, seed=13) == runs
