"""What an upstream does wrong reaches the client as one clear answer or one broken connection, and nobody else at all.

All toxics are given at once, beside good requests to the same endpoint, to one proxy with two workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.accounts import Accounts, statuses
from tests.support.checked import Ended, checked
from tests.support.toxic_upstream import ToxicUpstreams, toxic_upstreams
from tests.support.toxics import TOXICS
from tests.support.whole_proxy import WholeProxy, a_service, whole_proxy

#: What the client gets, and what Serinus says was wrong.
EXPECTED: Final[dict[str, tuple[int | str, str]]] = {
    "": (200, ""),
    "chunks": (200, ""),
    "error": (500, ""),
    "slow": (200, ""),
    "drip": (200, ""),
    "hang before the head": (504, "http_response_timeout"),
    "hang in the head": (504, "http_response_timeout"),
    "hang in the body": ("reset", ""),
    "close before the head": (502, "connection_terminated"),
    "close in the head": (502, "connection_terminated"),
    "close in the body": ("reset", ""),
    "close in the chunks": ("reset", ""),
    "close after the body": (200, ""),
    "reset before the head": (502, "connection_terminated"),
    "reset in the head": (502, "connection_terminated"),
    "reset in the body": ("reset", ""),
    "reset after the body": (200, ""),
    "garbage": (502, "http_protocol_error"),
    "a bad chunk": ("reset", ""),
    "two lengths": (502, "http_protocol_error"),
    "too much": (200, ""),
    "two answers": (200, ""),
    "an endless head": (502, "http_protocol_error"),
    "endless interims": (502, "http_protocol_error"),
    "endless trailers": ("reset", ""),
    "never read": (504, "http_response_timeout"),
    "early refusal": (413, ""),
}
LOST: Final = (502, "connection_terminated")
TIMES: Final = 3
BODY: Final = b"x" * 5000
PATIENT: Final[dict[str, Any]] = {
    "timeouts": {"connect": "500ms", "response": "3s", "idle": "3s"},
    "retries": {"attempts": 0},
    "ejection": "off",
}


@dataclass(frozen=True)
class Played:
    """What came of every toxic, by its name, and how often each request was executed."""

    of_get: dict[str, list[Ended]]
    of_post: dict[str, list[Ended]]
    good: list[Ended]
    executed: dict[str, int]


@pytest.fixture(scope="module")
def proxy(upstreams: ToxicUpstreams, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    tree = a_service({"v1": upstreams.places["v1"]}, {"v1": 1}, **PATIENT)
    with whole_proxy(tmp_path_factory.mktemp("proxy"), tree) as running:
        yield running


@pytest.fixture(scope="module")
def played(proxy: WholeProxy, upstreams: ToxicUpstreams) -> Played:
    """Every toxic, several times, for GET and for POST; and beside them requests that want nothing bad."""
    checked(proxy.address)
    accounts = Accounts(proxy)

    def ask(toxic: str, body: bytes | None) -> Ended:
        return checked(proxy.address, toxic, body=body)

    with ThreadPoolExecutor(64) as pool:
        some = [(toxic, body) for _ in range(TIMES) for toxic in TOXICS for body in (None, BODY)]
        asked = [(toxic, body, pool.submit(ask, toxic, body)) for toxic, body in some]
        good = [pool.submit(ask, "", None) for _ in range(100)]
        found = Played({}, {}, [each.result() for each in good], {})
        for toxic, body, future in asked:
            (found.of_get if body is None else found.of_post).setdefault(toxic, []).append(future.result())
    found.executed.update(upstreams.executed())
    accounts.settle()
    everything = [*found.good, *(each for of in (found.of_get, found.of_post) for some in of.values() for each in some)]
    counted = accounts.counted()
    assert sum(counted.values()) == len(everything)  # each request once
    assert {code: counted[code] for code in (413, 500, 502, 504)} == {
        code: statuses(each.what for each in everything)[code] for code in (413, 500, 502, 504)
    }
    return found


@pytest.mark.parametrize("toxic", TOXICS)
def test_a_client_gets_one_whole_answer_or_sees_that_there_is_none(played: Played, toxic: str):
    assert {(each.what, each.reason) for each in played.of_get[toxic]} == {EXPECTED[toxic]}
    # A POST may meet a pooled connection that the endpoint ends in that moment, and is not sent again.
    assert {(each.what, each.reason) for each in played.of_post[toxic]} <= {EXPECTED[toxic], LOST}


def test_whoever_asks_beside_them_notices_nothing(played: Played):
    assert {each.what for each in played.good} == {200}


def test_no_post_is_executed_twice(played: Played):
    posts = [each.identity for some in played.of_post.values() for each in some]
    assert max(played.executed.get(identity, 0) for identity in posts) == 1


def test_the_endpoint_is_as_good_as_before_for_the_next_ones(played: Played, proxy: WholeProxy):
    assert {checked(proxy.address).what for _ in range(20)} == {200}


def test_an_endpoint_that_dies_with_all_its_connections_and_returns_is_used_at_once(
    proxy: WholeProxy, upstreams: ToxicUpstreams
):
    accounts = Accounts(proxy)
    for death, answer in (("refuse", 502), ("silence", 504)):
        upstreams.order(death, "v1")
        assert {checked(proxy.address).what for _ in range(4)} == {answer}
        upstreams.order("listen", "v1")
        assert {checked(proxy.address).what for _ in range(10)} == {200}
    accounts.settle()


def test_connections_to_an_endpoint_that_never_answers_are_as_many_as_requests_and_end_with_them(
    proxy: WholeProxy, upstreams: ToxicUpstreams
):
    accounts = Accounts(proxy)
    upstreams.order("silence", "v1")
    with ThreadPoolExecutor(50) as pool:
        ended = list(pool.map(lambda _: checked(proxy.address), range(50)))
    upstreams.order("listen", "v1")
    assert {each.what for each in ended} == {504}
    assert accounts.grown("serinus_endpoint_connects_total") == 50
    accounts.settle()
    assert checked(proxy.address).what == 200


def test_an_upload_to_an_endpoint_that_reads_nothing_takes_no_memory(proxy: WholeProxy):
    accounts = Accounts(proxy)
    with ThreadPoolExecutor(2) as pool:
        large = bytes(64 * 1024 * 1024)  # more than the kernel keeps for two connections
        ended = list(pool.map(lambda _: checked(proxy.address, "never read", body=large), range(2)))
    assert {(each.what, each.reason) for each in ended} == {(504, "http_response_timeout")}
    accounts.settle()


def test_the_restarts_of_endpoints_one_after_the_other_fail_no_request_that_may_be_sent_again(tmp_path: Path):
    with toxic_upstreams("one", "two", "three") as upstreams:
        places = list(upstreams.places.values())
        tree = a_service({"v1": places}, {"v1": 1}, ejection="off", retries={"attempts": 3, "budget_min": 1000})
        with whole_proxy(tmp_path, tree) as proxy, ThreadPoolExecutor(8) as pool:
            accounts = Accounts(proxy)
            ended = [pool.submit(checked, proxy.address, body=None if n % 4 else BODY) for n in range(400)]
            for name in ("one", "two", "three") * 3:
                upstreams.order("refuse", name)
                upstreams.order("listen", name)
            found = [each.result() for each in ended]
            executed = upstreams.executed()
            accounts.settle()
            assert sum(accounts.counted().values()) == len(found)
    gets, posts = [each for n, each in enumerate(found) if n % 4], found[::4]
    assert {each.what for each in gets} == {200}
    assert {each.what for each in posts} <= {200, 502}
    assert max(executed[each.identity] for each in posts) == 1
