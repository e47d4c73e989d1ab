"""What operators and their tools do wrong changes everything once or nothing at all, and costs no request.

Calls that are cut off or sent twice, files that are half written, and one change after the other under load.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cli.faults import Fault
from tests.support.accounts import Accounts
from tests.support.load import load
from tests.support.long_forms import IS_LONG, long_or
from tests.support.named_upstreams import named_upstreams
from tests.support.peers import Peer
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

RELOADS: Final = long_or(40, 1000)
FAILED: Final = "serinus_config_reloads_total{result=failed}"
BODY: Final = b'{"weights": {"stable": 30, "canary": 70}}'
HEAD: Final = b"PUT /v1/services/shop/split HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

pytestmark = pytest.mark.timeout(1800 if IS_LONG else 120)


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    with named_upstreams("stable", "canary", "third") as running:
        yield running


def a_file(places: dict[str, str], canary: int = 0, **parts: Any) -> dict[str, Any]:
    """A file that gives everything to one of the two versions."""
    versions = {"stable": [places["stable"]], "canary": [places["canary"]]}
    return a_service(versions, {"stable": 1 - canary, "canary": canary}, **parts)


@pytest.fixture(scope="module")
def running(places: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    with whole_proxy(tmp_path_factory.mktemp("proxy"), a_file(places)) as running:
        yield running


@pytest.fixture
def proxy(running: WholeProxy, places: dict[str, str]) -> WholeProxy:
    """A proxy that serves what its file says: all requests go to the stable version."""
    running.take(a_file(places))
    running.admin.set_split("shop", {"stable": 1})
    return running


def live(proxy: WholeProxy) -> tuple[int, dict[str, float]]:
    """The generation and the weights."""
    return int(proxy.admin.state()["generation"]), dict(proxy.admin.service("shop")["split"])


def weights(proxy: WholeProxy) -> dict[str, float]:
    """The weights of the two versions; a spare one has none."""
    split = live(proxy)[1]
    assert split.pop("spare", 0) == 0
    return split


def put(more: bytes = b"") -> bytes:
    return HEAD + more + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def called(proxy: WholeProxy) -> Peer:
    """A connection to the admin API."""
    host, _, port = proxy.admin_address.rpartition(":")
    return Peer(socket.create_connection((host, int(port))))


@pytest.mark.parametrize("end", [Peer.close, Peer.reset], ids=["closed", "reset"])
def test_a_call_that_is_cut_off_is_made_once_when_it_was_whole_and_else_not_at_all(
    proxy: WholeProxy, end: Callable[[Peer], None]
):
    before = live(proxy)
    for length in (10, len(put()) - len(BODY), len(put()) - 1):
        peer = called(proxy).send(put()[:length])
        end(peer)
    assert live(proxy) == before
    peer = called(proxy).send(put())
    end(peer)
    wait_until(lambda: live(proxy) != before, "for the change that was whole")
    assert live(proxy) == (before[0] + 1, {"stable": 30, "canary": 70})
    assert "Traceback" not in proxy.log


def test_a_call_that_comes_twice_is_made_once_where_it_says_what_it_is_based_on(proxy: WholeProxy):
    generation, _ = live(proxy)
    based = put(b'If-Match: "%d"\r\n' % generation)
    with closing(called(proxy)) as peer:
        statuses = [peer.send(based).message().status for _ in range(3)]
    assert statuses == [200, 412, 412]
    assert live(proxy) == (generation + 1, {"stable": 30, "canary": 70})


def test_of_two_operators_who_saw_the_same_one_wins_and_the_other_is_told(proxy: WholeProxy):
    generation, _ = live(proxy)
    peers = [called(proxy).send(put(b'If-Match: "%d"\r\n' % generation)) for _ in range(8)]
    assert sorted(peer.message().status for peer in peers) == [200, *[412] * 7]
    assert live(proxy) == (generation + 1, {"stable": 30, "canary": 70})
    for peer in peers:
        peer.close()


def half(path: Path, good: str) -> None:
    path.write_text(good[: good.index("versions") + 4])


def empty(path: Path, good: str) -> None:
    path.write_text("")


def missing(path: Path, good: str) -> None:
    path.unlink()


def binary(path: Path, good: str) -> None:
    path.write_bytes(os.urandom(4096))


def huge(path: Path, good: str) -> None:
    with path.open("r+b") as file:
        file.truncate(100 * 1024 * 1024)


def a_folder(path: Path, good: str) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_nothing(path: Path, good: str) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def a_pipe(path: Path, good: str) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [half, empty, missing, binary, huge, a_folder, a_link_to_nothing, a_pipe])
def test_a_file_that_cannot_be_used_changes_nothing_and_the_next_good_one_is_taken(
    proxy: WholeProxy, places: dict[str, str], damage: Callable[[Path, str], None]
):
    accounts, before, good = Accounts(proxy), live(proxy), proxy.path.read_text()
    damage(proxy.path, good)
    with pytest.raises(Fault):
        proxy.admin.reload()
    proxy.program.send_signal(signal.SIGHUP)
    wait_until(lambda: accounts.grown(FAILED) == 2, "for the file to be refused twice")
    assert (live(proxy), proxy.ask()) == (before, (200, "stable"))
    proxy.path.rmdir() if damage is a_folder else proxy.path.unlink(missing_ok=True)
    proxy.take(a_file(places, timeouts={"response": "9s"}))
    assert proxy.ask() == (200, "stable")
    accounts.settle()


def test_a_file_behind_a_link_that_is_swapped_is_read_whole_before_or_after(places: dict[str, str], tmp_path: Path):
    """As a Kubernetes ConfigMap is: the file is a link, through a link that is replaced by rename."""
    with whole_proxy(tmp_path, a_file(places)) as proxy, load(proxy, kept=4) as running:
        usual = yaml.safe_load(proxy.path.read_text())
        folders = []
        for canary in (0, 1):
            folders.append(tmp_path / f"..{canary}")
            folders[-1].mkdir()
            (folders[-1] / "serinus.yaml").write_text(yaml.safe_dump({**usual, **a_file(places, canary)}))
        proxy.path.unlink()
        proxy.path.symlink_to(Path("..now") / "serinus.yaml")
        for canary in (0, 1) * 5:
            (tmp_path / "new").symlink_to(folders[canary].name)
            (tmp_path / "new").rename(tmp_path / "..now")
            proxy.admin.reload()
            assert {proxy.ask() for _ in range(4)} == {(200, "canary" if canary else "stable")}
        assert {(each.status, each.failure) for each in running.end()} == {(200, "")}


def test_one_file_after_the_other_under_load_fails_nothing_closes_nothing_and_leaves_nothing_behind(
    places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Weights, timeouts, endpoints and services change; what is live is exactly the file after each."""
    with whole_proxy(tmp_path, a_file(places)) as proxy:
        accounts = Accounts(proxy)
        with load(proxy, kept=8, fresh=2, pause=0.01) as running:
            for number in range(RELOADS):
                proxy.take(a_storm(places, number))
                assert weights(proxy) == {"stable": 1 - number % 2, "canary": number % 2}
                assert {proxy.ask()[1] for _ in range(2)} == {"canary" if number % 2 else "stable"}
                proxy.admin.set_split("shop", {"stable": 99, "canary": 1})
                assert weights(proxy) == {"stable": 99, "canary": 1}
                proxy.admin.set_split("shop", {"stable": 1 - number % 2, "canary": number % 2})
            requests = running.end()
        with capsys.disabled():
            print(f"\n{RELOADS} files and {2 * RELOADS} changes of weights under {len(requests)} requests")
        assert {(each.status, each.failure) for each in requests} == {(200, "")}
        kept = {each.port for each in requests if not each.is_fresh}
        assert len(kept) == 8  # none of the clients that keep their connection had to make another one
        assert sum(accounts.counted().values()) == len(requests) + 2 * RELOADS
        proxy.take(a_file(places))
        accounts.settle()


def a_storm(places: dict[str, str], number: int) -> dict[str, Any]:
    """The n-th file: something of everything is another one than in the one before."""
    file = a_file(places, number % 2, timeouts={"response": f"{20 + number % 7}s"})
    if number % 3 == 0:
        file["services"]["third"] = {"versions": {"v1": {"endpoints": [places["third"]]}}}
        file["routes"] = [{"match": {"host": "third.example"}, "service": "third"}, {"service": "shop"}]
    if number % 5 == 0:
        file["services"]["shop"]["versions"]["spare"] = {"endpoints": [places["third"]]}
    return file
