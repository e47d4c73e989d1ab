"""Axes hold what is drawn on them, with a few nice numbers beside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.report.scales import Scale, linear, logarithmic, time_ticks


@given(most=st.floats(0, 1e9))
def test_a_linear_axis_holds_the_most(most: float):
    scale = linear(most, str)
    assert scale.low == 0
    assert scale.high >= most
    assert 2 <= len(scale.ticks) <= 6
    assert [scale.place(value) for value, _ in scale.ticks] == sorted(scale.place(value) for value, _ in scale.ticks)
    assert (scale.place(0), scale.place(scale.high), scale.place(2 * scale.high)) == (0, 1, 1)


@given(values=st.lists(st.floats(1e-8, 1e8), min_size=1), mantissas=st.sampled_from([(1,), (1, 2, 5)]))
def test_a_logarithmic_axis_holds_everything(values: list[float], mantissas: tuple[int, ...]):
    scale = logarithmic(values, str, mantissas)
    assert scale.low <= min(values) * (1 + 1e-6)
    assert scale.high >= max(values) * (1 - 1e-6)
    assert 2 <= len(scale.ticks) <= 7


@given(end=st.floats(1, 1e8), most=st.integers(3, 9))
def test_a_time_axis_has_a_few_instants(end: float, most: int):
    ticks, unit = time_ticks(end, most)
    assert 1 <= len(ticks) <= most + 1
    assert ticks[0][0] == 0
    assert ticks[-1][0] <= end
    assert unit in ("min:s", "h:min", "days")
    assert len({label for _, label in ticks}) == len(ticks)


@pytest.mark.parametrize(("value", "place"), [(1.0, 0.0), (10.0, 0.5), (100.0, 1.0), (0.1, 0.0), (1e9, 1.0)])
def test_decades_are_equally_far_apart(value: float, place: float):
    assert Scale(1.0, 100.0, (), is_log=True).place(value) == pytest.approx(place)
