"""The series of a rollout stays small, and loses neither a count nor an extreme."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.buckets import EMPTY, Bucket
from controller.core.series import GRAVITY, CheckSaid, Odds, Row, Series, row_from_plain, row_to_plain, thinned

COUNTS = st.integers(0, 1000)
BUCKETS = st.builds(
    Bucket, COUNTS, COUNTS, COUNTS, st.dictionaries(st.integers(-3, 3), st.integers(1, 1000), max_size=3)
)
ODDS = st.floats(1e-12, 1e12).map(lambda evidence: Odds(evidence, evidence))
SAID = st.builds(CheckSaid, st.sampled_from(GRAVITY), st.none() | ODDS)
CHECKS = st.dictionaries(st.sampled_from(["error-rate", "latency", "tickets"]), SAID)


@st.composite
def some_rows(draw: st.DrawFn) -> list[Row]:
    """Seconds in their order, with gaps."""
    rows, at = [], draw(st.integers(0, 10_000))
    for _ in range(draw(st.integers(0, 30))):
        rows.append(Row(at, at + 1, draw(BUCKETS), draw(BUCKETS), 1, draw(st.none() | ODDS), draw(CHECKS)))
        at += draw(st.integers(1, 40))
    return rows


def totals(rows: Iterable[Row]) -> tuple[Bucket, Bucket, int]:
    rows = list(rows)
    return (
        sum((row.old for row in rows), EMPTY),
        sum((row.new for row in rows), EMPTY),
        sum(row.seconds for row in rows),
    )


def extremes(rows: Iterable[Row]) -> tuple[float | None, float | None]:
    odds = [row.odds for row in rows if row.odds]
    return min((each.low for each in odds), default=None), max((each.high for each in odds), default=None)


def gravest(rows: Iterable[Row]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        for name, said in row.checks.items():
            found[name] = min(found.get(name, said.value), said.value, key=GRAVITY.index)
    return found


@given(rows=some_rows(), most=st.integers(1, 20))
def test_thinning_adds_counts_up_and_keeps_the_extremes(rows: list[Row], most: int):
    found = thinned(rows, most)
    assert len(found) <= most
    assert totals(found) == totals(rows)
    assert extremes(found) == extremes(rows)
    assert gravest(found) == gravest(rows)
    for name in gravest(rows):
        parts = [row.checks[name].odds for row in rows if name in row.checks]
        kept = [row.checks[name].odds for row in found if name in row.checks]
        assert max((each.high for each in kept if each), default=None) == max(
            (each.high for each in parts if each), default=None
        )


@given(rows=some_rows(), most=st.integers(1, 20))
def test_rows_cover_what_they_covered_and_nothing_twice(rows: list[Row], most: int):
    found = thinned(rows, most)
    assert all(before.end <= after.at for before, after in pairwise(found))
    assert [row.at for row in found[:1]] == [row.at for row in rows[:1]]
    assert [row.end for row in found[-1:]] == [row.end for row in rows[-1:]]
    seconds = Counter(row.at for row in rows)
    assert all(sum(row.at <= at < row.end for row in found) == 1 for at in seconds)


@given(rows=some_rows(), most=st.integers(1, 20), place=st.integers(0, 30))
def test_a_series_that_was_kept_and_goes_on_adds_up_as_one_that_was_not(rows: list[Row], most: int, place: int):
    kept = [row_from_plain(json.loads(json.dumps(row_to_plain(row)))) for row in thinned(rows[:place], most)]
    assert tuple(kept) == thinned(rows[:place], most)
    found = thinned([*kept, *rows[place:]], most)
    assert len(found) <= most
    assert (totals(found), extremes(found), gravest(found)) == (totals(rows), extremes(rows), gravest(rows))


def test_seconds_stay_seconds_as_long_as_there_is_room():
    rows = [Row(at, at + 1, Bucket(at), EMPTY) for at in range(8)]
    assert Series(rows, 8).rows == tuple(rows)
    assert [(row.at, row.end, row.old.requests) for row in Series(rows, 4).rows] == [
        *((0, 2, 1), (2, 4, 5), (4, 6, 9), (6, 8, 13))
    ]


def test_a_second_that_comes_again_is_left_out():
    series = Series([Row(5, 6, Bucket(1), EMPTY)])
    series.add(Row(5, 6, Bucket(7), EMPTY))
    series.add(Row(4, 5, Bucket(7), EMPTY))
    assert (series.rows, series.end) == ((Row(5, 6, Bucket(1), EMPTY),), 6)


def test_an_empty_series_has_no_rows_and_no_end():
    assert (Series().rows, Series().end, len(Series())) == ((), None, 0)


@pytest.mark.parametrize(
    "damage",
    [
        {"t": [5, 4, 1]},
        {"t": [5, 6, 2]},
        {"t": [5, 6]},
        {"old": [1, 2, 3]},
        {"old": [1, 2, 3, [1]]},
        {"odds": [1]},
        {"checks": {"x": ["GOOD", None]}},
        {"checks": 3},
    ],
)
def test_what_is_no_row_is_refused(damage: dict[str, object]):
    plain = row_to_plain(Row(5, 6, EMPTY, EMPTY)) | damage
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        row_from_plain(plain)
