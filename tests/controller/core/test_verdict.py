"""Evidence in words."""

import math

import pytest

from controller.core.verdict import Verdict, odds, percent, points, seconds


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (43.2, "odds 43 : 1 against, rolls back at 100 : 1"),
        (2.26, "odds 2.3 : 1 against, rolls back at 100 : 1"),
        (12345.0, "odds 12,345 : 1 against, rolls back at 100 : 1"),
        (1e9, "odds over 1,000,000 : 1 against, rolls back at 100 : 1"),
        (1.0, "even odds, rolls back at 100 : 1"),
        (0.04, "odds 1 : 25, rolls back at 100 : 1"),
        (0.0, "odds 1 : over 1,000,000, rolls back at 100 : 1"),
    ],
)
def test_evidence_is_shown_as_odds(evidence, words):
    assert odds(evidence, 100.0) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *[(percent(0.0), "0%"), (percent(0.00034), "0.034%"), (percent(0.123), "12%")],
        *[(percent(0.9949), "99%"), (percent(0.996), "100%"), (percent(1.0), "100%")],
        *[(points(0.005), "0.5 points"), (points(0.0267), "2.7 points")],
        *[(points(0.994), "99 points"), (points(0.995), "100 points"), (points(1.0), "100 points")],
        *[(points(1.67), "100 points"), (points(math.inf), "100 points")],
        *[
            (seconds(0.9994), "999 ms"),
            (seconds(0.9996), "1 s"),
            (seconds(999.6), "1000 s"),
            (seconds(1234.0), "1234 s"),
        ],
        *[(seconds(0.0423), "42.3 ms"), (seconds(0.99), "990 ms"), (seconds(2.5), "2.5 s")],
    ],
)
def test_numbers_are_short(text, words):
    assert text == words


def test_a_verdict_is_one_line():
    assert str(Verdict("errors", "NO_DATA", "nothing came")) == "errors NO_DATA: nothing came"
