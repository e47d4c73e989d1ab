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
from contextlib import contextmanager, suppress
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
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

CLIENTS: Final = 8
KILLS: Final = 5
ROUNDS: Final = long_or(1, 60)
#: The long form asks 500 times a second, with bodies that are quickly made and checked.
SLIM: Final = Wishes(clients=3 * CLIENTS, toxics=("", "chunks"), rate=500, uploads=(0, 10, 3000), sizes=(0, 500, 5000))
WISHES: Final = long_or(Wishes(clients=CLIENTS, toxics=("", "chunks")), SLIM)

pytestmark = pytest.mark.timeout(7200 if IS_LONG else 120)


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
        accounts, asked, broken = Accounts(proxy), 0, 0
        for _ in range(ROUNDS):
            with checked_load(proxy.address, WISHES) as load:
                kills = kill_every_second(proxy) if IS_LONG else kill_one_after_the_other(proxy)
                some = load.end()
            lost = [each for each in some if each.broke]
            asked, broken = asked + len(some), broken + len(lost)
            with capsys.disabled():
                print(f"\n{kills} kills, {len(some)} requests, {len(lost)} of them lost with a worker")
            executed = upstreams.executed()
            assert [each.wrong for each in some if each.wrong] == []
            assert {each.status for each in some if not each.broke} == {200}
            assert "ConnectionRefusedError" not in of(lost)
            assert len(lost) <= kills * 2 * WISHES.clients  # in flight, and tried again at once
            assert max(executed[each.identity] for each in some if each.is_post) == 1
        wait_until(lambda: proxy.metrics()["serinus_workers{state=ready}"] == 2, "for the last new worker to serve")
        assert asked - 2 * broken <= sum(accounts.counted().values()) <= asked
        accounts.settle()


def kill_one_after_the_other(proxy: WholeProxy) -> int:
    """Kill workers, each when the one before is replaced; how many."""
    for number in range(KILLS):
        victim = proxy.workers()[number % 2]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda gone=victim: gone not in proxy.workers() and len(proxy.workers()) == 2)  # type: ignore[misc]
        wait_until(lambda: proxy.metrics()["serinus_workers{state=ready}"] == 2, "for the new worker to serve")
        time.sleep(0.2)
    return KILLS


def kill_every_second(proxy: WholeProxy) -> int:
    """Kill for a minute the worker that has lived longest, whether another one serves or not; how often."""
    begin = time.monotonic()
    for number in range(60):
        time.sleep(max(0.0, begin + number + 1 - time.monotonic()))
        with suppress(ProcessLookupError, FileNotFoundError, ValueError):  # one that has just ended, or none yet
            os.kill(min(proxy.workers(), key=started), signal.SIGKILL)
    return 60


def started(pid: int) -> int:
    """When a program was started, in ticks of the clock since the machine was."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[19])


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
