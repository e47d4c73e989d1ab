"""Where Serinus writes, nothing can be written: the disk is full, nobody reads, the other end is gone.

Requests are served all the same; lines that cannot be written are dropped and counted; what cannot be kept is not done.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from cli.faults import Fault
from tests.support.accounts import Accounts
from tests.support.checked import checked
from tests.support.checked_load import Wishes, checked_load
from tests.support.injected import fill, small_disk
from tests.support.peers import Peer
from tests.support.toxic_upstream import ToxicUpstreams, toxic_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

#: A request with a long line in the log.
LONG: Final = b"GET /?" + b"a" * 7000 + b" HTTP/1.1\r\nHost: shop\r\n\r\n"
FAILED: Final = "serinus_config_reloads_total{result=failed}"
DROPPED: Final = "serinus_access_log_dropped_total{}"


@pytest.fixture(scope="module")
def upstreams() -> Iterator[ToxicUpstreams]:
    with toxic_upstreams("stable", "canary") as running:
        yield running


def a_file(upstreams: ToxicUpstreams, **parts: Any) -> dict[str, Any]:
    return {**a_service(upstreams.places, {"stable": 1, "canary": 0}), **parts}


def weights(proxy: WholeProxy) -> dict[str, float]:
    return dict(proxy.admin.service("shop")["split"])


def test_with_a_full_disk_under_its_state_a_proxy_serves_on_and_refuses_what_it_could_not_keep(
    upstreams: ToxicUpstreams, tmp_path: Path
):
    with (
        small_disk(tmp_path) as disk,
        whole_proxy(tmp_path, a_file(upstreams, state_dir=str(disk))) as proxy,
        checked_load(proxy.address, Wishes(clients=4)) as load,
    ):
        generation = proxy.admin.state()["generation"]
        filler = fill(disk)
        with pytest.raises(Fault, match="cannot be kept, so it was not made"):
            proxy.admin.set_split("shop", {"canary": 1})
        assert (proxy.admin.state()["generation"], weights(proxy)) == (generation, {"stable": 1, "canary": 0})
        filler.unlink()
        proxy.admin.set_split("shop", {"canary": 1})
        assert (proxy.admin.state()["generation"], weights(proxy)) == (generation + 1, {"stable": 0, "canary": 1})
        assert {(each.status, each.broke, each.wrong) for each in load.end()} == {(200, "", "")}


def test_lines_for_a_full_disk_are_dropped_and_counted_and_come_again_with_room(
    upstreams: ToxicUpstreams, tmp_path: Path
):
    with small_disk(tmp_path) as disk:
        log = disk / "access.log"
        kept = {"access_log": {"format": "json", "output": str(log)}, "state_dir": str(tmp_path / "state")}
        with whole_proxy(tmp_path, a_file(upstreams, **kept)) as proxy:
            accounts = Accounts(proxy)
            filler = fill(disk)
            asked = 0
            while accounts.grown(DROPPED) == 0:
                assert {checked(proxy.address).what for _ in range(50)} == {200}
                asked += 50
            assert "the access log cannot be written, lines are dropped: [Errno 28]" in proxy.log
            filler.unlink()
            last = checked(proxy.address)
            wait_until(lambda: log.read_text().endswith("}\n") and len(whole_lines(log)) + dropped(proxy) == asked + 1)
            assert last.what == 200
            accounts.settle()


def dropped(proxy: WholeProxy) -> int:
    return int(proxy.metrics()[DROPPED])


def whole_lines(log: Path) -> list[dict[str, Any]]:
    """The lines that are whole; where the disk ended, one may have been cut."""
    found = []
    for line in log.read_text().splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


@contextmanager
def a_pipe() -> Iterator[tuple[int, int]]:
    """Its ends; small, so that little fills it."""
    out, into = os.pipe()
    try:
        yield out, into
    finally:
        for end in (out, into):
            with suppress(OSError):
                os.close(end)


@pytest.mark.parametrize("reader", ["stalls", "is gone"])
def test_who_does_not_read_the_access_log_costs_lines_and_nothing_else(
    upstreams: ToxicUpstreams, tmp_path: Path, reader: str
):
    with a_pipe() as (out, into):
        to_pipe = ["sh", "-c", f'exec "$@" >/dev/fd/{into}', "sh"]
        tree = a_file(upstreams, access_log={"format": "json"})
        with whole_proxy(tmp_path, tree, starter=to_pipe, pass_fds=[into]) as proxy:
            accounts = Accounts(proxy)
            if reader == "is gone":
                os.close(out)
                os.close(into)
            with closing(Peer.connect(proxy.address)) as client:
                while accounts.grown(DROPPED) == 0:
                    for _ in range(50):
                        assert client.send(LONG).message().status == 200
            proxy.admin.set_split("shop", {"canary": 1})
            assert {checked(proxy.address).what for _ in range(20)} == {200}
            accounts.settle()


def test_who_does_not_read_what_serinus_says_holds_up_nothing(upstreams: ToxicUpstreams, tmp_path: Path):
    """Neither requests nor changes, however much there is to say; and in the end it ends."""
    with a_pipe() as (out, into), reading(out, tmp_path) as stop_reading:
        to_pipe = ["sh", "-c", f'exec "$@" 2>/dev/fd/{into}', "sh"]
        with whole_proxy(tmp_path, a_file(upstreams), starter=to_pipe, pass_fds=[into]) as proxy:
            accounts = Accounts(proxy)
            workers = proxy.workers()
            stop_reading()
            good = proxy.path.read_text()
            proxy.path.write_text(good + "".join(f"unknown-{number}: 1\n" for number in range(200)))
            for number in range(1, 31):
                proxy.program.send_signal(signal.SIGHUP)
                wait_until(lambda: accounts.grown(FAILED) >= number, "for the file to be refused")  # noqa: B023
                assert checked(proxy.address).what == 200
            proxy.path.write_text(good)
            proxy.admin.set_split("shop", {"canary": 1})
            assert proxy.workers() == workers
            accounts.settle()


@contextmanager
def reading(out: int, folder: Path) -> Iterator[Any]:
    """Copy what a pipe gives to the log of the proxy in a folder, until the function that this gives is called."""
    stopping, stopped = threading.Event(), threading.Event()
    os.set_blocking(out, False)

    def copy() -> None:
        while not stopping.wait(0.01):
            with suppress(BlockingIOError):
                said = os.read(out, 65536)
                with next(folder.glob("log-*")).open("ab") as log:
                    log.write(said)
        stopped.set()

    def stop() -> None:
        stopping.set()
        stopped.wait()

    threading.Thread(target=copy).start()
    try:
        yield stop
    finally:
        stop()
