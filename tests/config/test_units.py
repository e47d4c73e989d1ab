import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import (
    MAX_DURATION,
    MAX_SIZE,
    parse_duration,
    parse_share,
    parse_size,
    render_duration,
    render_share,
    render_size,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *[("30s", 30.0), ("500ms", 0.5), ("10m", 600.0), ("24h", 86400.0), ("30d", 2592000.0), ("250us", 0.00025)],
        *[("250µs", 0.00025), ("1h30m", 5400.0), ("1d1h1m1s1ms", 90061.001), ("1.5h", 5400.0), ("0.1s", 0.1)],
        *[(30, 30.0), (0, 0.0), (2.5, 2.5), ("30", 30.0), ("0", 0.0), ("0s", 0.0), ("010s", 10.0)],
    ],
)
def test_a_duration_is_read_as_seconds(value: object, seconds: float):
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("30x", "unknown unit 'x' in '30x'; write it as 30s, 500ms, 10m or 1h30m"),
        ("30S", "not a duration: '30S'; write it as 30s, 500ms, 10m or 1h30m"),
        ("30m1h", "units out of order in '30m1h'; write it as 30s, 500ms, 10m or 1h30m"),
        ("1s1s", "units out of order in '1s1s'; write it as 30s, 500ms, 10m or 1h30m"),
        ("", "not a duration: ''; write it as 30s, 500ms, 10m or 1h30m"),
        ("1h 30m", "not a duration: '1h 30m'; write it as 30s, 500ms, 10m or 1h30m"),
        ("+5s", "not a duration: '+5s'; write it as 30s, 500ms, 10m or 1h30m"),
        ("٣s", "not a duration: '٣s'; write it as 30s, 500ms, 10m or 1h30m"),
        ("5_0s", "not a duration: '5_0s'; write it as 30s, 500ms, 10m or 1h30m"),
        (-1, "a duration cannot be negative: -1"),
        ("3651d", "a duration of '3651d' is longer than ten years"),
        (True, "not a duration: true; write it as 30s, 500ms, 10m or 1h30m"),
        (None, "not a duration: nothing; write it as 30s, 500ms, 10m or 1h30m"),
        ({}, "not a duration: a mapping; write it as 30s, 500ms, 10m or 1h30m"),
        (float("nan"), "not a duration: nan; write it as 30s, 500ms, 10m or 1h30m"),
        (float("inf"), "not a duration: inf; write it as 30s, 500ms, 10m or 1h30m"),
    ],
)
def test_what_is_no_duration_says_why(value: object, message: str):
    with pytest.raises(ValueError) as caught:
        parse_duration(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "size"),
    [
        *[("5MiB", 5 * 2**20), ("8KiB", 8192), ("64kB", 64000), ("64KB", 64000), ("1GB", 10**9), ("2TiB", 2**41)],
        *[("1.5KiB", 1536), ("8 KiB", 8192), ("100B", 100), ("100", 100), (4096, 4096), (0, 0), (4096.0, 4096)],
    ],
)
def test_a_size_is_read_as_bytes(value: object, size: int):
    assert parse_size(value) == size


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("64k", "unknown unit 'k' in '64k'; write it as 8KiB, 5MiB or 64kB"),
        ("64 kib", "unknown unit 'kib' in '64 kib'; write it as 8KiB, 5MiB or 64kB"),
        ("0.1B", "'0.1B' is not a whole number of bytes"),
        (-1, "a size cannot be negative: -1"),
        ("9999999TiB", "a size of '9999999TiB' is too large"),
        ("five", "not a size: 'five'; write it as 8KiB, 5MiB or 64kB"),
        (False, "not a size: false; write it as 8KiB, 5MiB or 64kB"),
    ],
)
def test_what_is_no_size_says_why(value: object, message: str):
    with pytest.raises(ValueError) as caught:
        parse_size(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "ratio"),
    [("20%", 0.2), ("0.5%", 0.005), ("100%", 1.0), ("0 %", 0.0), (0.2, 0.2), (1, 1.0), (0, 0.0), ("0.25", 0.25)],
)
def test_a_share_is_read_as_a_ratio(value: object, ratio: float):
    assert parse_share(value) == ratio


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (20, "a share without % lies between 0 and 1; write 20% for per cent"),
        ("101%", "a share lies between 0% and 100%, not '101%'"),
        (-0.5, "a share lies between 0% and 100%, not -0.5"),
        ("half", "not a share: 'half'; write it as 20% or 0.2"),
    ],
)
def test_what_is_no_share_says_why(value: object, message: str):
    with pytest.raises(ValueError) as caught:
        parse_share(value)
    assert str(caught.value) == message


def test_a_message_does_not_repeat_a_long_text():
    with pytest.raises(ValueError) as caught:
        parse_duration("9" * 1_000_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (2.5, "2.5s"), (60, "1m"), (75, "1m15s"), (5400, "1h30m"), (86400, "1d")],
)
def test_a_duration_is_shown_in_its_natural_units(seconds: float, text: str):
    assert render_duration(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (1000, "1000B"), (8192, "8KiB"), (5 * 2**20, "5MiB")])
def test_a_size_is_shown_in_the_largest_unit_that_fits(size: int, text: str):
    assert render_size(size) == text


@given(st.floats(min_value=0, max_value=float(MAX_DURATION)))
def test_a_shown_duration_is_read_back_exactly(seconds: float):
    assert parse_duration(render_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=MAX_SIZE))
def test_a_shown_size_is_read_back_exactly(size: int):
    assert parse_size(render_size(size)) == size


@given(st.floats(min_value=0, max_value=1))
def test_a_shown_share_is_read_back_exactly(ratio: float):
    assert parse_share(render_share(ratio)) == ratio


@given(
    st.one_of(
        st.text(),
        st.from_regex(r"[0-9.]{1,6}(ms|s|m|h|%|KiB|k)*", fullmatch=True),
        st.integers(),
        st.floats(),
        st.booleans(),
        st.none(),
        st.tuples(st.text()),
    )
)
@pytest.mark.parametrize("parse", [parse_duration, parse_size, parse_share])
def test_anything_else_raises_value_error_and_nothing_else(parse, value: object):
    try:
        number = parse(value)
    except ValueError:
        return
    assert number >= 0
