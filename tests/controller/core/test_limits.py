"""The absolute limit on the error rate, and the terms that a rollout's checks give."""

import math

import pytest
from scipy.stats import binom

from config.check import Check, ErrorRateCheck, LatencyCheck, SignalCheck, WorseBy
from controller.core.bursts import Guard, unguarded
from controller.core.latency import shift_for
from controller.core.slo import LimitEvidence
from controller.core.terms import PATIENCE, PATIENCE_FOR_ERRORS, ErrorTerms, LatencyTerms, Terms


@pytest.mark.parametrize("guard", [unguarded, Guard(0.01, 2)])
@pytest.mark.parametrize("limit", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("n", [1, 10, 40])
def test_a_version_within_the_limit_gives_at_most_1_on_average(n, limit, guard):
    for rate in (0.0, limit / 2, limit):
        total = 0.0
        for k, chance in enumerate(binom.pmf(range(n + 1), n, rate).tolist()):
            evidence = LimitEvidence(limit, guard)
            evidence.update(0, n, k)
            total += chance * evidence.value
        assert total <= 1 + 1e-9


def test_a_version_beyond_the_limit_is_found():
    evidence = LimitEvidence(0.05, Guard(0.01, 2))
    for second in range(60):
        evidence.update(second, 10, 2)
    assert evidence.value > 100


def test_silence_is_no_evidence():
    evidence = LimitEvidence(0.05, Guard(0.01, 2))
    evidence.update(0, 0, 0)
    assert math.isclose(evidence.value, 1.0)


@pytest.mark.parametrize(
    ("slower_by", "bins"), [(0.0, 0), (0.05, 1), (0.09, 1), (0.2, 2), (0.3, 3), (0.5, 5), (1.0, 8)]
)
def test_a_share_slower_is_a_number_of_bins(slower_by, bins):
    assert shift_for(slower_by) == bins


def test_terms_follow_from_the_checks():
    checks: list[Check] = [
        SignalCheck(name="tickets"),
        ErrorRateCheck(name="mistakes", worse_by=WorseBy(ratio=2.0, points=1.0), slo_max=0.05),
        LatencyCheck(name="speed", slower_by=0.5),
    ]
    terms = Terms.of(checks, 0.001)
    assert terms == Terms(ErrorTerms("mistakes", 2.0, 0.01, 0.05), LatencyTerms("speed", 5), 0.001)
    assert Terms.from_plain(terms.to_plain()) == terms
    assert terms.patience == PATIENCE


def test_without_a_check_of_the_latency_answers_are_waited_for_longer():
    terms = Terms.of([ErrorRateCheck(name="errors")], 0.01)
    assert (terms.latency, terms.patience) == (None, PATIENCE_FOR_ERRORS)
    assert Terms.from_plain(terms.to_plain()) == terms


@pytest.mark.parametrize(("warm_up", "seconds"), [(0.0, 0), (0.2, 1), (5.0, 5)])
def test_new_instances_warm_up_for_whole_seconds(warm_up, seconds):
    assert Terms.of([], 0.01, warm_up).warm_up == seconds


def test_there_may_be_nothing_to_compare():
    terms = Terms.of([], 0.01)
    assert (terms.errors, terms.latency) == (None, None)
    assert Terms.from_plain(terms.to_plain()) == terms
