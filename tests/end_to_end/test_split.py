"""Weights: exact over all workers, changed live without a failed request, and in force when the call has answered."""

import json
import random
import socket
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from cli.faults import Refused
from tests.support.load import Request, load
from tests.support.long_forms import long_or
from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

REQUESTS = 200_000
CHANGES = long_or(300, 10_000)
CONNECTIONS = 16
PIPELINED = 50

pytestmark = pytest.mark.timeout(long_or(300, 600))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    """Three versions that name themselves, behind two workers."""
    with named_upstreams("stable", "canary", "green") as places:
        tree = a_service(places, {"stable": 99, "canary": 1})
        with whole_proxy(tmp_path_factory.mktemp("proxy"), tree) as running:
            yield running


def test_a_share_of_1_percent_is_exact_over_200_000_requests_and_two_workers(proxy: WholeProxy):
    before = proxy.answers()
    with ThreadPoolExecutor(CONNECTIONS) as clients:
        answers = sum(clients.map(lambda _: pipelined(proxy, REQUESTS // CONNECTIONS), range(CONNECTIONS)), Counter())
    assert answers.total() == REQUESTS
    assert abs(answers["canary"] - REQUESTS // 100) <= 4
    assert proxy.answers() - before == answers
    wait_until(lambda: in_stats(proxy) == proxy.answers(), "for the last second to end")


def pipelined(proxy: WholeProxy, requests: int) -> Counter[str]:
    """Who answered this many requests on one connection."""
    names: Counter[str] = Counter()
    with socket.create_connection(proxy.address, timeout=30) as connection:
        for _ in range(requests // PIPELINED):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n" * PIPELINED)
            received, found = b"", Counter[str]()
            while found.total() < PIPELINED:
                received += connection.recv(65536) or b"!\r\n\r\nclosed" * PIPELINED
                found = Counter({name: received.count(f"\r\n\r\n{name}".encode()) for name in ("stable", "canary")})
                assert b"closed" not in received, received
            names += found
    return names


def in_stats(proxy: WholeProxy) -> Counter[str]:
    """The requests of each version that /v1/stats has, all seconds together."""
    versions = json.loads(proxy.ask_admin("/v1/stats?seconds=900"))["services"]["shop"]
    return +Counter({name: sum(each["requests"] for each in found["seconds"]) for name, found in versions.items()})


class Rule(NamedTuple):
    """The versions that had weight, from when at the earliest to when at the latest."""

    versions: frozenset[str]
    begin: int
    end: int


def test_weights_change_hundreds_of_times_under_load_and_every_answer_is_of_a_version_that_had_weight(
    proxy: WholeProxy, capsys: pytest.CaptureFixture[str]
):
    with load(proxy, kept=6, fresh=2) as running:
        rules, calls = change_weights(proxy, CHANGES)
        requests = running.end()
    assert [request for request in requests if request.failure or request.status != 200] == []
    assert list(wrong_answers(requests, rules)) == []
    with capsys.disabled():
        percentiles = statistics.quantiles(calls, n=100)
        print(
            f"\n{len(calls)} changes under {len(requests)} requests: median {percentiles[49] * 1e3:.1f} ms, "
            f"99th percentile {percentiles[98] * 1e3:.1f} ms, longest {max(calls) * 1e3:.1f} ms"
        )


def change_weights(proxy: WholeProxy, times: int) -> tuple[list[Rule], list[float]]:
    """Change them; the rules that were in force, and how long each call took."""
    chance = random.Random(1)
    admin = proxy.admin
    rules, calls = [], []
    admin.set_split("shop", {"stable": 1})
    versions, since = ["stable"], time.monotonic_ns()
    for _ in range(times):
        chosen = chance.sample(["stable", "canary", "green"], chance.choice([1, 1, 2]))
        begin = time.monotonic_ns()
        admin.set_split("shop", {version: chance.randint(1, 99) for version in chosen})
        end = time.monotonic_ns()
        calls.append((end - begin) / 1e9)
        rules.append(Rule(frozenset(versions), since, end))
        versions, since = chosen, begin
    return [*rules, Rule(frozenset(versions), since, time.monotonic_ns() * 2)], calls


def wrong_answers(requests: Sequence[Request], rules: Sequence[Rule]) -> Iterator[Request]:
    """The answers of versions without weight in all rules that were in force while the request was."""
    first = 0
    for request in requests:
        while rules[first].end < request.begin:
            first += 1
        allowed: set[str] = set()
        for rule in rules[first:]:
            if rule.begin > request.end:
                break
            allowed |= rule.versions
        if request.answer not in allowed and request.begin >= rules[0].begin:
            yield request


def test_a_change_is_served_by_every_worker_when_the_call_answers(proxy: WholeProxy):
    for version in ["stable", "canary", "green"] * 10:
        proxy.admin.set_split("shop", {version: 1})
        assert {proxy.ask() for _ in range(10)} == {(200, version)}


def test_of_20_changes_at_once_with_the_same_if_match_exactly_one_wins(proxy: WholeProxy):
    generation = proxy.admin.state()["generation"]

    def attempt(weight: int) -> str:
        try:
            proxy.admin.set_split("shop", {"stable": 100 - weight, "canary": weight}, if_match=generation)
        except Refused as refused:
            return f"refused with {refused.status}"
        return f"canary has {weight}"

    with ThreadPoolExecutor(20) as callers:
        results = Counter(callers.map(attempt, range(1, 21)))
    state = proxy.admin.state()
    assert results == {"refused with 412": 19, f"canary has {state['services']['shop']['split']['canary']:g}": 1}
    assert state["generation"] == generation + 1
