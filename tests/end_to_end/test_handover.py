"""SIGUSR2: the next version takes over the sockets and the state, and nobody who asks notices.

Where a moment in between is meant, the next version is stopped there (SIGSTOP) as soon as it is there.
"""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import pytest

from cli.faults import Refused
from tests.support.handovers import end, hand_over, kill, status, workers_of
from tests.support.load import load
from tests.support.long_forms import IS_LONG, long_or
from tests.support.named_upstreams import named_upstreams
from tests.support.notified import notified
from tests.support.waiting import has_ended
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

HANDOVERS: Final = long_or(3, 100)

pytestmark = pytest.mark.timeout(3600 if IS_LONG else 180)


@pytest.fixture(scope="module")
def tree() -> Iterator[dict[str, Any]]:
    checked = {"tcp": True, "interval": "10s"}
    with named_upstreams("v1", "v2") as places:
        yield {**a_service(places, {"v1": 1, "v2": 0}, health=checked), "drain_timeout": "20s"}


class Changing(Thread):
    """Changes the weight of v1, again and again; `kept` is what was confirmed last."""

    def __init__(self, proxy: WholeProxy) -> None:
        super().__init__()
        self._admin = proxy.admin
        self._ending = Event()
        self.kept = 0.0
        self.statuses: Counter[object] = Counter()

    def run(self) -> None:
        weight = 0.0
        while not self._ending.wait(0.01):
            weight += 1
            try:
                self._admin.set_split("shop", {"v1": weight, "v2": 0})
            except Refused as refused:
                self.statuses[refused.status] += 1
            except Exception as exc:  # looked at by the test
                self.statuses[repr(exc)] += 1
            else:
                self.kept = weight
                self.statuses[200] += 1

    def end(self) -> None:
        self._ending.set()
        self.join()


def test_one_next_version_after_the_other_fails_no_request_and_loses_no_change(
    tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with whole_proxy(tmp_path, tree) as proxy, load(proxy, kept=8, fresh=4, pause=0.005) as running:
        changing = Changing(proxy)
        changing.start()
        try:
            pids = [hand_over(proxy)[1] for _ in range(HANDOVERS)]
        finally:
            changing.end()
        requests = running.end()
        with capsys.disabled():
            changes = f"{changing.statuses[200]} changes confirmed, {changing.statuses[503]} to be tried again"
            fresh = sum(each.is_fresh for each in requests)
            print(f"\n{HANDOVERS} handovers, {len(requests)} requests, {fresh} of them fresh; {changes}")
        assert {(each.status, each.answer, each.failure) for each in requests} == {(200, "v1", "")}
        assert {*changing.statuses} <= {200, 503}
        assert changing.kept
        assert proxy.admin.service("shop")["split"] == {"v1": changing.kept, "v2": 0}
        assert len({proxy.program.pid, *pids}) == HANDOVERS + 1
        assert proxy.program.wait(60) == 0
        wait_until(lambda: all(has_ended(pid) for pid in pids[:-1]), "for the old ones to finish")
        assert status(proxy)["predecessor"] == pids[-2]
        assert proxy.metrics()["serinus_handovers_total{result=ok}"] == 1
        end(proxy)


def test_a_next_version_that_cannot_serve_leaves_this_one_and_one_that_can_reads_the_file(
    tree: dict[str, Any], tmp_path: Path
):
    place = str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "2000000"}
    with notified(place) as told, whole_proxy(tmp_path, tree, environ=environ) as proxy:
        old = proxy.program.pid
        proxy.path.write_text("listen: []\n")
        os.kill(old, signal.SIGUSR2)
        wait_until(lambda: status(proxy)["failures"] == 1, "for the next version to refuse")
        failed = status(proxy)
        assert (failed["pid"], failed["phase"], failed["successor"]) == (old, "alone", 0)
        assert "the next version refused: " in failed["last_failure"]["reason"]
        assert "serinus.yaml:1:1: services: is required" in failed["last_failure"]["reason"]
        assert "not handed over, this proxy serves on: the next version refused" in proxy.log
        assert proxy.metrics()["serinus_last_handover_successful{}"] == 0
        assert proxy.ask() == (200, "v1")
        with socket.create_server(("127.0.0.1", 0)) as free:
            more = f"127.0.0.1:{free.getsockname()[1]}"
        proxy.write({**tree, "workers": 3, "listen": [{"address": "127.0.0.1:0"}, {"address": more}]})
        new = hand_over(proxy)[1]
        assert proxy.program.wait(60) == 0
        assert len(workers_of(new)) == 3
        assert {proxy.ask() for _ in range(20)} == {(200, "v1")}
        assert f"listening on {more}" in proxy.log
        wait_until(lambda: any(each.startswith("READY=1\nSTATUS=3 workers") for each in told))
        os.kill(new, signal.SIGHUP)
        wait_until(lambda: "generation 3 is served" in proxy.log)
        proxy.write({**tree, "workers": 1})
        third = hand_over(proxy)[1]
        assert len(workers_of(third)) == 1
        wait_until(lambda: has_ended(new))
        assert {proxy.ask() for _ in range(20)} == {(200, "v1")}
        end(proxy)
        kinds = [each.partition("\n")[0] for each in told if not each.startswith(("STATUS=", "WATCHDOG="))]
        expected = ["READY=1", f"MAINPID={new}", "READY=1", "RELOADING=1", "READY=1", f"MAINPID={third}", "READY=1"]
        assert kinds == [*expected, "STOPPING=1"]
        assert "WATCHDOG=1" in told


@contextmanager
def stopped_successor(proxy: WholeProxy) -> Iterator[int]:
    """SIGUSR2, and the next version stands still before it has said anything."""
    os.kill(proxy.program.pid, signal.SIGUSR2)
    wait_until(lambda: status(proxy)["successor"], "for the next version to be there")
    successor = int(status(proxy)["successor"])
    os.kill(successor, signal.SIGSTOP)
    try:
        yield successor
    finally:
        kill(successor)


def test_one_that_is_killed_on_the_way_leaves_this_one_which_then_does_what_it_was_told_meanwhile(
    tree: dict[str, Any], tmp_path: Path
):
    with whole_proxy(tmp_path, tree) as proxy:
        with stopped_successor(proxy):
            proxy.program.send_signal(signal.SIGUSR2)
            wait_until(lambda: "the next version is starting already" in proxy.log)
            proxy.program.send_signal(signal.SIGHUP)
            wait_until(lambda: "the file is read again when this proxy is handed over, or is not" in proxy.log)
            assert "is served" not in proxy.log
        wait_until(lambda: "generation 2 is served" in proxy.log, "for the reload")
        reason = status(proxy)["last_failure"]["reason"]
        assert reason == "the next version ended with signal 9"
        with stopped_successor(proxy) as successor:
            assert proxy.end() == 0
            assert has_ended(successor)


def test_when_this_one_is_killed_on_the_way_the_next_one_takes_over_with_what_was_confirmed(
    tree: dict[str, Any], tmp_path: Path
):
    with whole_proxy(tmp_path, tree) as proxy:
        workers = proxy.workers()
        proxy.admin.set_split("shop", {"v1": 3, "v2": 0}, reason="to be kept")
        with stopped_successor(proxy) as successor:
            assert proxy.end(signal.SIGKILL) == -signal.SIGKILL
            wait_until(lambda: all(has_ended(pid) for pid in workers), "for the workers to end")
            with socket.create_connection(proxy.address, timeout=60) as client:  # nobody accepts it yet
                client.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
                os.kill(successor, signal.SIGCONT)
                assert client.makefile("rb").read().endswith(b"v1")
            wait_until(lambda: "took over from the proxy before" in proxy.log)
            assert proxy.admin.service("shop")["split"] == {"v1": 3, "v2": 0}
            assert status(proxy)["pid"] == successor
            end(proxy)
