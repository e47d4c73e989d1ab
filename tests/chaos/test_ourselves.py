"""Our own processes are killed, stopped and continued: what was in flight there may be lost, and nothing else.

When the supervisor is killed, its workers take no more connections, finish what they have and end: what they serve
could no longer be changed, so they do not outlive it. A new supervisor may start beside them at once.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.accounts import Accounts
from tests.support.checked import checked, request
from tests.support.checked_load import Asking, Wishes, checked_load
from tests.support.long_forms import IS_LONG, long_or
from tests.support.peers import Peer
from tests.support.toxic_upstream import ToxicUpstreams, toxic_upstreams
from tests.support.waiting import has_ended
from tests.support.whole_proxy import a_service, wait_until, whole_proxy

CLIENTS: Final = 8
KILLS: Final = long_or(5, 300)

pytestmark = pytest.mark.timeout(900 if IS_LONG else 120)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[ToxicUpstreams]:
    with toxic_upstreams("one", "two") as running:
        yield running


def a_file(upstreams: ToxicUpstreams, **parts: Any) -> dict[str, Any]:
    """Two endpoints, and patience with nobody."""
    return a_service({"v1": list(upstreams.places.values())}, {"v1": 1}, **parts)


def of(broken: list[Asking]) -> set[str]:
    return {each.broke for each in broken}


def test_a_worker_that_is_killed_again_and_again_loses_what_it_had_in_flight_and_executes_nothing_twice(
    upstreams: ToxicUpstreams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    upstreams.executed()
    with whole_proxy(tmp_path, a_file(upstreams)) as proxy:
        accounts = Accounts(proxy)
        with checked_load(proxy.address, Wishes(clients=CLIENTS, toxics=("", "chunks"))) as load:
            for number in range(KILLS):
                victim = proxy.workers()[number % 2]
                os.kill(victim, signal.SIGKILL)
                wait_until(lambda gone=victim: gone not in proxy.workers() and len(proxy.workers()) == 2)  # type: ignore[misc]
                wait_until(lambda: proxy.metrics()["serinus_workers{state=ready}"] == 2, "for the new worker to serve")
                time.sleep(long_or(0.2, 0.7))
            asked = load.end()
        executed, answers = upstreams.executed(), accounts.counted()
        broken = [each for each in asked if each.broke]
        with capsys.disabled():
            print(f"\n{KILLS} kills, {len(asked)} requests, {len(broken)} of them lost with a worker")
        assert [each.wrong for each in asked if each.wrong] == []
        assert {each.status for each in asked if not each.broke} == {200}
        assert "ConnectionRefusedError" not in of(broken)
        assert len(broken) <= KILLS * 2 * CLIENTS  # a client may lose one in flight, and one more that it tried at once
        assert max(executed[each.identity] for each in asked if each.is_post) == 1
        answered = sum(1 for each in asked if not each.broke)
        assert answered - len(broken) <= sum(answers.values()) <= len(asked)
        accounts.settle()


def test_who_stands_still_for_a_while_loses_nothing_and_blames_nobody_for_the_time(
    upstreams: ToxicUpstreams, tmp_path: Path
):
    """One worker after the other, and then everything that runs, longer than any timeout."""
    short = {"timeouts": {"connect": "500ms", "response": "500ms", "idle": "500ms"}, "ejection": {"consecutive": 1}}
    with whole_proxy(tmp_path, a_file(upstreams, **short, retries={"attempts": 0})) as proxy:
        accounts, workers = Accounts(proxy), proxy.workers()
        with checked_load(proxy.address, Wishes(clients=CLIENTS)) as load:
            for victims in ([workers[0]], [workers[1]], [proxy.program.pid, *workers, upstreams.program.pid]):
                with stopped(*victims):
                    time.sleep(1.5)
                time.sleep(0.5)
            asked = load.end()
        assert {(each.status, each.broke, each.wrong) for each in asked} == {(200, "", "")}
        assert proxy.workers() == workers
        assert accounts.grown("serinus_endpoint_ejections_total") == 0
        accounts.settle()
        assert sum(accounts.counted().values()) == len(asked)


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """These processes stand still within the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_supervisor_that_is_stopped_for_a_while_is_missed_by_nobody(upstreams: ToxicUpstreams, tmp_path: Path):
    probed = {"health": {"tcp": True, "interval": "200ms", "timeout": "200ms", "fall": 1}}
    with whole_proxy(tmp_path, a_file(upstreams, **probed)) as proxy:
        accounts, workers = Accounts(proxy), proxy.workers()
        with checked_load(proxy.address, Wishes(clients=CLIENTS)) as load:
            with stopped(proxy.program.pid):
                time.sleep(2)
            time.sleep(0.5)
            asked = load.end()
        assert {(each.status, each.broke, each.wrong) for each in asked} == {(200, "", "")}
        assert proxy.workers() == workers
        up = [name for name, value in proxy.metrics().items() if name.startswith("serinus_endpoint_up") and value]
        assert len(up) == 2
        accounts.settle()


def test_workers_whose_supervisor_is_killed_finish_what_they_have_and_a_new_one_starts_beside_them(
    upstreams: ToxicUpstreams, tmp_path: Path
):
    with whole_proxy(tmp_path, {**a_file(upstreams), "drain_timeout": "20s"}) as first:
        orphans = first.workers()
        first.admin.set_split("shop", {"v1": 3}, reason="to be kept")
        generation = first.admin.state()["generation"]
        upload = Peer.connect(first.address)
        text = request("an upload", body=b"x" * 10_000)
        upload.send(text[:-10])
        wait_until(lambda: first.metrics()["serinus_requests_in_flight{service=shop,version=v1}"] == 1)
        address = first.address
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        wait_until(lambda: is_refused(address), "for the workers to take nothing more")
        at = {"listen": [{"address": f"127.0.0.1:{address[1]}"}]}
        with whole_proxy(tmp_path, {**a_file(upstreams), **at}) as second:
            assert second.admin.state()["generation"] > generation
            assert {checked(second.address).what for _ in range(20)} == {200}
            assert not all(has_ended(pid) for pid in orphans)
            upload.send(text[-10:])
            assert upload.message().status == 200
            upload.close()
            wait_until(lambda: all(has_ended(pid) for pid in orphans), "for the old workers to end")
            assert {checked(second.address).what for _ in range(20)} == {200}


def is_refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return True
    return False
