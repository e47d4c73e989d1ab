"""Money on bets: where it is, when it is spent, and that it comes back from the journal unchanged."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.mixture import ENOUGH, FROM_THE_START, SPACING, Mixture


def test_nothing_is_lost_by_opening_starts():
    mixture = Mixture([3, 1])
    for second in range(100 * SPACING):
        mixture.open_starts(second)
        assert mixture.value == pytest.approx(1.0)


def test_a_bet_from_the_start_has_its_prior():
    mixture = Mixture([3, 1])
    mixture.open_starts(0)
    mixture.multiply([math.log(2), 0.0])
    assert mixture.value == pytest.approx(1 + 0.75 * FROM_THE_START)


def test_a_version_that_becomes_bad_late_is_found_with_money_that_waited():
    mixture = Mixture([1])
    for second in range(10 * SPACING):
        mixture.open_starts(second)
        mixture.multiply([-1.0])
    assert mixture.value < 1
    for second in range(10 * SPACING, 11 * SPACING):
        mixture.open_starts(second)
        mixture.multiply([0.5])
    assert mixture.value > 1000


def test_a_gap_opens_all_starts_that_were_due():
    slow, fast = Mixture([1]), Mixture([1])
    for second in range(0, 10 * SPACING + 1):
        slow.open_starts(second)
    fast.open_starts(0)
    fast.open_starts(10 * SPACING)
    assert json.dumps(slow.to_plain()) == json.dumps(fast.to_plain())


def test_money_has_an_end():
    mixture = Mixture([1])
    mixture.open_starts(0)
    for _ in range(100):
        mixture.multiply([10.0])
    assert mixture.value <= ENOUGH + 1


logs = st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), max_size=80)


@given(logs, logs)
def test_it_goes_on_from_json_as_if_nothing_had_happened(before, after):
    mixture, restored = Mixture([1, 2, 3]), Mixture([1, 2, 3])
    for second, log_es in enumerate(before):
        mixture.open_starts(second)
        mixture.multiply(log_es)
    restored.restore(json.loads(json.dumps(mixture.to_plain())))
    for second, log_es in enumerate(after, start=len(before)):
        for each in (mixture, restored):
            each.open_starts(second)
            each.multiply(log_es)
        assert restored.value == mixture.value
