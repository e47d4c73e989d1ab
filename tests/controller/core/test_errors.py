"""The e-value of a bucket of errors: agreement with the reference, and that it is never more than evidence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.bursts import Guard, unguarded
from controller.core.errors import ErrorEvidence, log_evidence, project
from tests.support.decision_oracle import mean_over_errors, mean_over_lots, poisson_log_e

counts = st.integers(1, 200)
rates = st.floats(1e-5, 0.5)
ratios = st.sampled_from([0.5, 1.0, 1.25, 2.0])
margins = st.sampled_from([0.0, 0.001, 0.005, 0.05, 0.3])
ROUNDING = 1e-9


def e_value(n_c: int, n_b: int, t_c: float, t_b: float, ratio: float, points: float, guard=unguarded):
    def of(k_c: int, k_b: int) -> float:
        log_e, most = log_evidence(n_c, k_c, n_b, k_b, t_c, t_b, ratio, points)
        return math.exp(guard(log_e, most, min(n_c * t_c, 1.0), n_c))

    return of


@given(counts, counts, st.data(), rates, st.floats(0.001, 1.0), ratios, margins)
def test_it_is_what_the_reference_says(n_c, n_b, data, t_b, t_c, ratio, points):
    k_c, k_b = data.draw(st.integers(0, n_c)), data.draw(st.integers(0, n_b))
    expected = poisson_log_e(n_c, k_c, n_b, k_b, t_c, t_b, ratio, points)
    assert log_evidence(n_c, k_c, n_b, k_b, t_c, t_b, ratio, points)[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(counts, counts, rates, st.floats(0.001, 1.0), ratios, margins)
def test_the_nearest_good_point_lies_on_the_line(n_c, n_b, t_b, t_c, ratio, points):
    x, y = project(n_c, n_b, t_c, t_b, ratio, points)
    assert y > 0
    assert x == pytest.approx(ratio * y + points)


SIZES = [(1, 30), (4, 12), (6, 6), (20, 5)]


@pytest.mark.parametrize(("n_c", "n_b"), SIZES)
@pytest.mark.parametrize(("ratio", "points"), [(1.0, 0.005), (1.25, 0.005), (1.25, 0.05), (1.0, 0.1)])
@pytest.mark.parametrize("t_b", [0.001, 0.05])
@pytest.mark.parametrize("guard", [unguarded, Guard(0.01, 2)])
def test_it_is_at_most_1_on_average_over_all_good_versions(n_c, n_b, ratio, points, t_b, guard):
    for p_b in (0.0, 0.001, 0.02, 0.2, 0.6):
        for p_c in {0.0, p_b, ratio * p_b + points}:
            for gap in (0.01, 0.1, 0.95):
                e = e_value(n_c, n_b, min(ratio * t_b + points + gap, 1.0), t_b, ratio, points, guard)
                if p_c <= 1:
                    assert mean_over_errors(n_c, p_c, n_b, p_b, e) <= 1 + ROUNDING


@pytest.mark.parametrize(("n_c", "n_b"), SIZES)
@pytest.mark.parametrize(("ratio", "points", "t_b"), [(1.0, 0.02, 0.001), (1.0, 0.2, 0.05), (0.5, 0.0, 0.2)])
def test_below_the_line_it_is_evidence_for_the_opposite(n_c, n_b, ratio, points, t_b):
    t_c = t_b + points / 4 if points else 0.1 * t_b
    for p_b in (0.0, 0.001, 0.02, 0.2, 0.6):
        for p_c in (ratio * p_b + points, min(2 * (ratio * p_b + points), 1.0)):
            e = e_value(n_c, n_b, t_c, t_b, ratio, points)
            assert mean_over_errors(n_c, p_c, n_b, p_b, e) <= 1 + ROUNDING


@pytest.mark.parametrize(("n_c", "n_b"), [(1, 30), (6, 60), (20, 20), (40, 10)])
@pytest.mark.parametrize("gap", [0.01, 0.1, 0.95])
@pytest.mark.parametrize(("ratio", "points"), [(1.0, 0.005), (1.25, 0.005), (1.0, 0.0)])
def test_no_fixed_set_of_failing_requests_is_evidence(n_c, n_b, gap, ratio, points):
    e = e_value(n_c, n_b, min(ratio * 0.001 + points + gap, 1.0), 0.001, ratio, points)
    assert max(mean_over_lots(n_c, n_b, failing, e) for failing in range(n_c + n_b + 1)) <= 1 + ROUNDING


def evidence(gap_between: int = 0) -> ErrorEvidence:
    found = ErrorEvidence(1.25, 0.005, Guard(0.01, 2))
    for second in range(60):
        found.update(second, gap_between, gap_between, 50, 0, 0.001)
    return found


def test_one_side_without_requests_is_no_evidence():
    assert evidence(gap_between=0).value == pytest.approx(1.0)


def test_failures_of_the_new_version_alone_are():
    assert evidence(gap_between=1).value > 1e6


def test_beyond_a_margin_of_everything_there_is_nothing():
    found = ErrorEvidence(1.0, 1.0, Guard(0.01, 2))
    found.update(0, 10, 10, 10, 0, 0.001)
    assert found.value == pytest.approx(1.0)


@pytest.mark.parametrize(("ratio", "points"), [(1.0, 0.005), (1.25, 0.05)])
@pytest.mark.parametrize("guard", [unguarded, Guard(0.01, 2)])
def test_of_the_new_version_alone_it_is_at_most_1_on_average_while_it_is_below_the_line(ratio, points, guard):
    def alone(n: int, highest: float):
        def of(k: int, _: int) -> float:
            evidence = ErrorEvidence(ratio, points, guard)
            evidence.update_alone(0, n, k, highest)
            return evidence.value

        return of

    for n in (1, 7, 60):
        for highest in (0.0, 0.03, 0.5):
            for p_c in (0.0, highest, ratio * highest + points):
                assert mean_over_errors(n, p_c, 0, 0.0, alone(n, highest)) <= 1 + ROUNDING
    assert alone(60, 0.03)(60, 0) > 5
    assert alone(60, 1.0)(60, 0) == 1, "nothing is known of the old version"
