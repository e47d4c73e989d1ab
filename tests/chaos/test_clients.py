"""Clients that are slow, rude or many cost themselves, and whoever asks beside them is served.

slowhttptest attacks with many connections; the rest is done by hand. Connections that stop in a head are answered 408
when its time is over, and closed.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.accounts import Accounts
from tests.support.checked import checked, look, request
from tests.support.checked_load import Wishes, checked_load
from tests.support.long_forms import IS_LONG, long_or
from tests.support.peers import Peer
from tests.support.toxic_upstream import ToxicUpstreams
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

CONNECTIONS: Final = long_or(1000, 10_000)
PIPELINED: Final = 10_000
#: In the long form, long enough for all of them to be there at once.
TIMEOUTS: Final = dict.fromkeys(("head", "idle", "keepalive"), long_or("2s", "400s"))
#: What slowhttptest does: heads, bodies, and reading, each without an end.
ATTACKS: Final = {"a head": ["-H"], "a body": ["-B"], "reading": ["-X", "-w", "1", "-y", "2", "-n", "1", "-z", "1"]}

pytestmark = pytest.mark.timeout(1200 if IS_LONG else 120)


@pytest.fixture(scope="module")
def proxy(upstreams: ToxicUpstreams, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    tree: dict[str, Any] = {
        **a_service({"v1": upstreams.places["v1"]}, {"v1": 1}, limits={"body": "500KiB"}),
        "timeouts": TIMEOUTS,
        "limits": {"connections": 20_000},
    }
    with whole_proxy(tmp_path_factory.mktemp("proxy"), tree) as running:
        checked(running.address)
        yield running


@pytest.mark.parametrize("attack", ATTACKS)
def test_those_who_never_finish_are_cut_off_and_everybody_else_is_served(
    proxy: WholeProxy, require_tool: Callable[[str, str], str], attack: str, capsys: pytest.CaptureFixture[str]
):
    accounts = Accounts(proxy)
    command = [
        require_tool("slowhttptest", "slowhttptest"), *ATTACKS[attack],
        *("-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-i", long_or("1", "20"), "-l", long_or("4", "240")),
        *("-u", f"{proxy.url}/", "-p", "30", "-t", "GET" if attack != "a body" else "POST"),
    ]  # fmt: skip
    with (
        checked_load(proxy.address, Wishes(clients=4, pause=0.01)) as load,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as attacker,
    ):
        at_once = 0.0
        while attacker.poll() is None:
            at_once = max(at_once, proxy.metrics()["serinus_connections{side=client}"])
            time.sleep(0.2)
        asked = load.end()
    came = accounts.grown("serinus_connections_accepted_total{}")
    with capsys.disabled():
        print(
            f"\n{came:.0f} connections, up to {at_once:.0f} at once, while clients never finish {attack};"
            f" {len(asked)} requests beside them"
        )
    assert {(each.status, each.broke, each.wrong) for each in asked} == {(200, "", "")}
    accounts.settle(growth=256 * 1024 * 1024)
    assert came > CONNECTIONS / 10  # on a busy machine the attacker is slow too


def test_a_flood_of_connections_that_are_reset_at_once_leaves_nothing_behind(proxy: WholeProxy):
    accounts = Accounts(proxy)
    for number in range(CONNECTIONS):
        with suppress(ConnectionError):
            client = Peer.connect(proxy.address)
            if number % 2:
                client.send(b"GET / HTTP/1.1\r\n")
            client.reset()
    assert checked(proxy.address).what == 200
    accounts.settle()


#: A whole POST, cut at each of these places: in the line, in a field, behind the head, in the body, behind all.
WHOLE: Final = request("reset", "slow", body=b"x" * 20_000)
PLACES: Final = [0, 3, 30, WHOLE.index(b"\r\n\r\n") + 4, len(WHOLE) - 10_000, len(WHOLE)]


@pytest.mark.parametrize("end", [Peer.reset, Peer.close, Peer.end_sending], ids=["reset", "close", "half-close"])
def test_clients_that_go_away_at_any_place_of_a_request_leave_nothing_behind(
    proxy: WholeProxy, end: Callable[[Peer], None]
):
    accounts = Accounts(proxy)
    with ExitStack() as stack:
        for place in PLACES * 5:
            client = stack.enter_context(closing(Peer.connect(proxy.address)))
            client.send(WHOLE[:place])
            end(client)
        assert {checked(proxy.address).what for _ in range(10)} == {200}
        if end is Peer.end_sending:
            assert client.message().status == 200  # who only ended sending still gets what was asked for
    accounts.settle()


def test_ten_thousand_requests_in_one_go_are_answered_in_their_order(proxy: WholeProxy):
    accounts = Accounts(proxy)
    with closing(Peer.connect(proxy.address)) as client:
        client.sock.settimeout(60)
        text = b"".join(request(str(number)) for number in range(PIPELINED))
        with ThreadPoolExecutor(1) as other:  # sends while this one reads, or both would wait for each other
            sending = other.submit(client.sock.sendall, text)
            assert list(_answers(client, PIPELINED)) == list(range(PIPELINED))
            sending.result()
    accounts.settle()
    assert accounts.counted() == {200: PIPELINED}


def _answers(client: Peer, count: int) -> Iterator[int]:
    for number in range(count):
        message = client.message()
        assert look(str(number), message, size=0).status == 200
        yield number


@pytest.mark.parametrize("length", [b"Content-Length: 1000000000", b"Transfer-Encoding: chunked"])
def test_a_huge_upload_that_is_refused_early_hears_why(proxy: WholeProxy, length: bytes):
    accounts = Accounts(proxy)
    is_chunked = length.startswith(b"Transfer")
    block = bytes(65536)
    with closing(Peer.connect(proxy.address)) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nX-Id: huge\r\n" + length + b"\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(16):
                client.send(b"10000\r\n" + block + b"\r\n" if is_chunked else block)
        answer = client.message()
    assert answer.status == 413
    accounts.settle()


def test_an_upload_that_the_endpoint_refuses_early_hears_what_it_said(proxy: WholeProxy):
    accounts = Accounts(proxy)
    assert {checked(proxy.address, "early refusal", body=bytes(400_000)).what for _ in range(20)} == {413}
    wait_until(lambda: checked(proxy.address).what == 200)
    accounts.settle()


def test_no_more_connections_than_the_limit_are_kept_and_the_others_are_told(upstreams: ToxicUpstreams, tmp_path: Path):
    tree = {**a_service({"v1": upstreams.places["v1"]}, {"v1": 1}), "limits": {"connections": 100}, "workers": 1}
    with whole_proxy(tmp_path, tree) as proxy, ExitStack() as stack:
        accounts = Accounts(proxy)
        clients = [stack.enter_context(closing(Peer.connect(proxy.address))) for _ in range(300)]
        for client in clients:
            with suppress(ConnectionError):
                client.send(request("held", "slow"))
        answers = [client.message().status for client in clients]
        assert set(answers) == {200, 503}
        stack.close()
        assert checked(proxy.address).what == 200
        accounts.settle()
