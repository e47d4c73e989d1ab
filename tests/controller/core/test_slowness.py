"""The e-value of a bucket of latencies: no fixed set of latencies is evidence, and neither is being faster."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.bursts import Guard, unguarded
from controller.core.slowness import Bets, step_log_evidence
from tests.support.decision_oracle import mean_over_draws, mean_over_errors, mean_over_lots, slow_log_e

PLACES = 12
ROUNDING = 1e-9
BETS = Bets([(place, 1000 >> place) for place in range(PLACES)], PLACES)
odds = st.sampled_from([1.7, 5.0, 25.0, 0.5, 0.1])


def placed(latencies: Sequence[int]) -> list[tuple[int, int]]:
    return list(Counter(latencies).items())


def e_value(bet: int, guard=unguarded) -> Callable[[list[int], list[int]], float]:
    return lambda a, b: math.exp(guard(*BETS.found(placed(a), placed(b))[bet], len(a)))


@given(st.integers(1, 40), st.integers(0, 40), st.data(), odds)
def test_a_step_is_what_the_reference_says_where_the_new_version_has_fewer(n_c, more, data, ratio):
    n_b = n_c + more
    x_c, x_b = data.draw(st.integers(0, n_c)), data.draw(st.integers(0, n_b))
    assert step_log_evidence(n_c, x_c, n_b, x_b, ratio) == pytest.approx(slow_log_e(n_c, x_c, n_b, x_b, ratio))


@pytest.mark.parametrize(("n_a", "n_b"), [(1, 20), (5, 45), (10, 10), (30, 10), (49, 1)])
@pytest.mark.parametrize("ratio", [1.7, 5.0, 25.0, 60.0])
def test_no_fixed_set_of_slow_requests_is_evidence(n_a, n_b, ratio):
    def e(x_a: int, x_b: int) -> float:
        return math.exp(step_log_evidence(n_a, x_a, n_b, x_b, ratio))

    assert max(mean_over_lots(n_a, n_b, slow, e) for slow in range(n_a + n_b + 1)) <= 1 + ROUNDING


@pytest.mark.parametrize(("n_a", "n_b"), [(1, 20), (8, 8), (20, 3)])
@pytest.mark.parametrize("ratio", [1.7, 25.0])
def test_a_step_is_at_most_1_on_average_when_a_is_no_slower(n_a, n_b, ratio):
    def e(x_a: int, x_b: int) -> float:
        return math.exp(step_log_evidence(n_a, x_a, n_b, x_b, ratio))

    for p_b in (0.001, 0.05, 0.3, 0.9):
        for p_a in (0.0, p_b / 2, p_b):
            assert mean_over_errors(n_a, p_a, n_b, p_b, e) <= 1 + ROUNDING


requests = st.lists(st.tuples(st.integers(0, PLACES - 1), st.integers(0, PLACES - 1)), min_size=2, max_size=8)


@given(requests, st.data(), st.sampled_from([unguarded, Guard(0.01, 2)]))
def test_every_bet_is_at_most_1_over_the_lot_when_no_request_is_slower_with_a(both, data, guard):
    with_a, with_b = [min(pair) for pair in both], [max(pair) for pair in both]
    n_a = data.draw(st.integers(1, len(both) - 1))
    for bet in range(6):
        assert mean_over_draws(with_a, with_b, n_a, e_value(bet, guard)) <= 1 + ROUNDING


@given(st.lists(st.integers(0, PLACES - 1), min_size=2, max_size=9), st.data())
def test_every_bet_is_at_most_1_over_the_lot_when_both_are_alike(latencies, data):
    n_a = data.draw(st.integers(1, len(latencies) - 1))
    for bet in range(6):
        assert mean_over_draws(latencies, latencies, n_a, e_value(bet)) <= 1 + ROUNDING


@pytest.mark.parametrize("bet", range(6))
def test_every_bet_gains_when_a_is_much_slower(bet: int):
    assert BETS.found([(PLACES - 1, 5)], [(0, 95)])[bet][0] > 0


@pytest.mark.parametrize("bet", range(6))
def test_every_bet_gains_when_the_larger_group_is_much_slower(bet: int):
    assert BETS.found([(PLACES - 1, 95)], [(0, 5)])[bet][0] > 0
