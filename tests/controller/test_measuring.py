"""What a service does now, from the answers of its proxies."""

from typing import Any

import pytest

from controller.core.buckets import bin_of
from controller.measuring import WINDOW, measured

BOUNDS = [0.0, 0.001, 0.01, 0.1, 1.0]


def second(t: int, requests: int, errors: int = 0) -> dict[str, Any]:
    counts = {"requests": requests, "errors": errors, "aborted": 0, "in_flight": 0, "client_errors": 0}
    return {"t": t, **counts, "bins": {"2": requests - errors}}


def answer(now: int, **versions: list[dict[str, Any]]) -> dict[str, Any]:
    services = {"shop": {name: {"seconds": seconds} for name, seconds in versions.items()}}
    return {"now": now, "bin_lower_bounds_seconds": BOUNDS, "services": services}


def test_rates_of_versions_and_proxies_add_up_and_errors_are_those_of_the_old_one():
    stable = [second(t, 90, 9) for t in range(1000)]
    canary = [second(t, 10, 10) for t in range(1000)]
    one = measured({"a": answer(1000, stable=stable, canary=canary)}, "shop", "stable", 2.0)
    assert (one.rate, one.errors, one.seconds) == (100.0, 0.1, WINDOW)
    assert one.latencies == {bin_of(0.055): 81 * WINDOW}
    two = measured({name: answer(1000, stable=stable, canary=canary) for name in "ab"}, "shop", "stable", 2.0)
    assert (two.rate, two.errors) == (200.0, 0.1)


def test_a_proxy_that_has_just_started_is_measured_since_its_first_request():
    found = measured({"a": answer(63, stable=[second(t, 10) for t in range(40, 63)])}, "shop", "stable", 2.0)
    assert (found.rate, found.seconds) == (10.0, 21.0)


@pytest.mark.parametrize("seconds", [[], [second(990, 3)]])
def test_few_requests_are_few_over_the_whole_window(seconds: list[dict[str, Any]]):
    found = measured({"a": answer(1000, stable=seconds)}, "shop", "stable", 2.0)
    assert found.rate == sum(each["requests"] for each in seconds) / WINDOW


def test_seconds_that_are_not_over_are_left_out():
    found = measured(
        {"a": answer(1000, stable=[second(t, 10) for t in (*range(900, 997), 999)])}, "shop", "stable", 2.0
    )
    assert found.rate == pytest.approx(97 * 10 / 98)


def test_an_answer_of_another_shape_is_an_error():
    with pytest.raises(KeyError):
        measured({"a": {"services": {}}}, "shop", "stable", 2.0)
