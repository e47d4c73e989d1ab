"""How many users there are when."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.courses import COURSES, canary_walk


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("ramp", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("spike", [3, 3, 3, 3, 10, 10, 10, 3, 3, 3]),
        ("soak", [10] * 10),
    ],
)
def test_a_shape_has_its_course(name: str, users: list[int]):
    assert [COURSES[name].users(10, elapsed, seconds=9.1) for elapsed in range(10)] == users


@given(st.sampled_from([*COURSES]), st.integers(1, 10_000), st.floats(0, 100), st.floats(0.1, 99))
def test_there_is_somebody_until_it_is_over_and_never_more_than_asked_for(
    name: str, most: int, elapsed: float, seconds: float
):
    users = COURSES[name].users(most, elapsed, seconds)
    assert users is None if elapsed >= seconds else users is not None and 1 <= users <= most


def rollout(phase: str, step: int) -> dict[str, Any]:
    return {"phase": phase, "step": step, "steps": 3}


@pytest.mark.parametrize(
    ("seen", "users"),
    [
        (None, 3),
        (rollout("pending", 0), 4),
        (rollout("step", 0), 4),
        (rollout("step", 1), 7),
        (rollout("paused", 1), 7),
        (rollout("step", 2), 10),
        (rollout("finishing", 2), 10),
        (rollout("promoted", 2), None),
        (rollout("rolled_back", 0), None),
    ],
)
def test_the_canary_walk_has_more_users_with_each_step(seen: dict[str, Any] | None, users: int | None):
    assert canary_walk(10, 20.0, 600.0, seen) == users


def test_the_canary_walk_does_not_wait_for_ever():
    assert canary_walk(10, 30.0, 600.0, None) is None
    assert canary_walk(10, 600.0, 600.0, rollout("step", 1)) is None
