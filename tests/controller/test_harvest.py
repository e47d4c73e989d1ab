"""Seconds of several proxies become one row of buckets, each second once."""

from typing import Any

import pytest

from controller.core.buckets import Bucket
from controller.harvest import KEPT, Harvest

BOUNDS = [0.0, 0.001, 0.01, 0.1]


def second(t: int, requests: int = 4, in_flight: int = 0, errors: int = 0) -> dict[str, Any]:
    done = requests - in_flight
    return {
        "t": t,
        "requests": requests,
        "done": done,
        "errors": errors,
        "aborted": 0,
        "client_errors": 0,
        "in_flight": in_flight,
        "bins": {"1": done - errors} if done - errors else {},
    }


def answer(now: int, old: list[dict[str, Any]], new: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    versions = {"stable": {"seconds": old}, "canary": {"seconds": new or []}}
    return {"now": now, "bin_lower_bounds_seconds": BOUNDS, "services": {"shop": versions}}


def harvest(after: int | None = 99, patience: float = 2.0) -> Harvest:
    return Harvest("shop", "stable", "canary", patience, after)


def counts(found: Any) -> list[tuple[int, int, int]]:
    return [(at, old.requests, new.requests) for at, old, new in found]


def test_a_second_is_given_on_once_when_all_its_requests_have_ended():
    field = harvest()
    assert counts(field.take({"p": answer(101, [second(100)])}, 101.2)) == [(100, 4, 0)]
    assert counts(field.take({"p": answer(101, [second(100)])}, 101.9)) == []
    assert counts(field.take({"p": answer(103, [second(101)], [second(102)])}, 103.1)) == [(101, 4, 0), (102, 0, 4)]


def test_a_second_with_requests_under_way_is_waited_for_but_not_for_ever():
    field = harvest()
    assert counts(field.take({"p": answer(102, [second(100, in_flight=1), second(101)])}, 102.0)) == []
    found = list(field.take({"p": answer(103, [second(100, in_flight=1), second(101)])}, 103.0))
    assert [(at, old.unanswered) for at, old, _ in found] == [(100, 1), (101, 0), (102, 0)]


def test_quiet_seconds_are_empty_buckets():
    assert counts(harvest().take({"p": answer(103, [])}, 103.0)) == [(100, 0, 0), (101, 0, 0), (102, 0, 0)]


def test_the_seconds_of_several_proxies_add_up():
    answers = {"p": answer(101, [second(100)]), "q": answer(101, [second(100, 6, errors=2)], [second(100, 1)])}
    ((at, old, new),) = harvest().take(answers, 101.0)
    assert (at, old.requests, old.errors, new) == (100, 10, 2, Bucket(1, 0, 0, new.latencies))


def test_a_second_waits_for_every_proxy_that_answers_and_for_no_other():
    field = harvest()
    slow = answer(102, [second(100, in_flight=1)])
    assert counts(field.take({"p": answer(102, [second(100)]), "q": slow}, 102.0)) == []
    assert counts(field.take({"p": answer(102, [second(100)])}, 102.0)) == [(100, 4, 0), (101, 0, 0)]
    late = answer(103, [second(100), second(101)])
    assert counts(field.take({"p": answer(103, [second(102)]), "q": late}, 103.0)) == [(102, 4, 0)]


def test_the_clock_of_another_machine_is_shifted_once():
    field = harvest()
    assert counts(field.take({"p": answer(5001, [second(5000)])}, 101.7)) == [(100, 4, 0)]
    assert counts(field.take({"p": answer(5002, [second(5001)])}, 103.9)) == [(101, 4, 0)]


def test_a_clock_that_jumps_is_laid_anew_and_nothing_is_given_on_twice():
    field = harvest()
    list(field.take({"p": answer(5003, [second(5000)])}, 103.0))
    rebooted = answer(11, [second(9), second(10)])
    assert counts(field.take({"p": rebooted}, 104.0)) == [(103, 4, 0)]


def test_our_own_clock_is_left_alone():
    assert counts(harvest().take({"p": answer(101, [second(100)])}, 103.9)) == [(100, 4, 0)]


def test_without_a_beginning_it_gives_all_that_the_proxy_keeps():
    field = harvest(after=None)
    assert field.wanted_seconds(5000.0) == KEPT
    assert counts(field.take({"p": answer(1000, [second(300), second(998)])}, 1000.0))[::699] == [
        (300, 4, 0),
        (999, 0, 0),
    ]
    assert field.wanted_seconds(1001.0) < 20


def test_after_a_long_silence_only_what_is_kept_is_given_on():
    field = harvest()
    list(field.take({"p": answer(101, [second(100)])}, 101.0))
    found = counts(field.take({"p": answer(5000, [second(4999)])}, 5000.0))
    assert (found[0][0], found[-1], len(found)) == (5000 - KEPT, (4999, 4, 0), KEPT)


def test_nothing_is_given_on_when_nobody_has_answered():
    assert counts(harvest().take({}, 101.0)) == []


def test_an_answer_of_another_shape_is_an_error():
    with pytest.raises(KeyError):
        list(harvest().take({"p": {"now": 3}}, 101.0))
