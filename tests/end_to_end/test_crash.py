"""kill -9 of a worker under load: what it was answering is lost, and nothing else."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from tests.support.load import Request, load
from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import Samples, WholeProxy, a_service, wait_until, whole_proxy

NEVER_FALL = ("_total", "_count", "_sum", "_bucket")


def test_only_what_a_killed_worker_was_answering_is_lost(tmp_path: Path):
    with (
        named_upstreams("stable", "canary") as places,
        whole_proxy(tmp_path, a_service(places, {"stable": 1, "canary": 1})) as proxy,
        load(proxy, kept=24, fresh=4, path="/after/0.005") as running,
        scraping(proxy) as pages,
    ):
        victim, other = proxy.workers()
        kept_by_victim, kept_by_other = proxy.clients_of(victim), proxy.clients_of(other)
        before = time.monotonic_ns()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{victim}").exists(), "for the end of the worker")
        dead = time.monotonic_ns()
        wait_until(lambda: len(proxy.workers()) == 2, "for a new worker")
        (new,) = set(proxy.workers()) - {other}
        wait_until(lambda: proxy.clients_of(new), "for clients of the new worker")
        time.sleep(1)
        clients_of_other = proxy.clients_of(other)
        requests = running.end()

    failed = [request for request in requests if request.failure or request.status != 200]
    assert [request for request in failed if request.failure == "refused"] == []
    assert [request for request in failed if not before < request.end] == []
    # On a connection of its own, a client may ask before it has seen that it is over; none that was made later is lost.
    assert [request for request in failed if request.is_fresh and request.turned > dead] == []
    assert [request for request in failed if not request.is_fresh and request.port not in kept_by_victim] == []
    assert len({request.port for request in failed}) == len(failed)  # each connection was lost once

    assert kept(kept_by_other, requests, dead) <= clients_of_other
    assert answered(requests, since=dead)
    assert falls(pages) == []
    assert pages[-1]["serinus_worker_restarts_total{}"] == 1


def test_changes_go_on_while_workers_are_killed(tmp_path: Path):
    with (
        named_upstreams("stable", "canary") as places,
        whole_proxy(tmp_path, a_service(places, {"stable": 1, "canary": 0})) as proxy,
        load(proxy, kept=8, fresh=4),
        scraping(proxy) as pages,
    ):
        for version in ["canary", "stable"] * 4:
            os.kill(proxy.workers()[0], signal.SIGKILL)
            for _ in range(5):
                proxy.admin.set_split("shop", {version: 1})
            assert {proxy.ask() for _ in range(10)} == {(200, version)}
            assert len(proxy.workers()) == 2
    assert falls(pages) == []


def kept(ports: set[int], requests: list[Request], since: int) -> set[int]:
    """Those of the ports from which clients asked on and on."""
    asked = {request.port for request in requests if not request.is_fresh and request.begin > since}
    of_kept = {request.port for request in requests if not request.is_fresh} & ports
    assert of_kept <= asked
    return of_kept


def answered(requests: list[Request], since: int) -> int:
    return sum(request.status == 200 for request in requests if request.begin > since)


def falls(pages: list[Samples]) -> list[tuple[str, float, float]]:
    """Every total that went down, or away, from one page to the next."""
    return [
        (name, value, after.get(name, 0))
        for before, after in pairwise(pages)
        for name, value in before.items()
        if name.partition("{")[0].endswith(NEVER_FALL) and after.get(name, 0) < value
    ]


@contextmanager
def scraping(proxy: WholeProxy) -> Iterator[list[Samples]]:
    """Read /metrics again and again; gives all pages."""
    pages: list[Samples] = []
    ending = threading.Event()

    def scrape() -> None:
        while not ending.wait(0.02):
            pages.append(proxy.metrics())

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        yield pages
    finally:
        ending.set()
        scraper.join()
