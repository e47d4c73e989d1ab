"""The clock is set, the network loses packets or is gone for a while, names lead elsewhere: nothing hangs."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.accounts import Accounts
from tests.support.checked import checked
from tests.support.checked_load import Wishes, checked_load
from tests.support.injected import in_own_network
from tests.support.tools import require_tool
from tests.support.toxic_upstream import ToxicUpstreams, toxic_upstreams
from tests.support.whole_proxy import a_service, wait_until, whole_proxy

PROBED: Final = {"health": {"tcp": True, "interval": "200ms", "timeout": "1s"}, "retries": {"attempts": 0}}

pytestmark = pytest.mark.timeout(120)


def a_file(upstreams: ToxicUpstreams, **parts: Any) -> dict[str, Any]:
    return a_service({"v1": list(upstreams.places.values())}, {"v1": 1}, **{**PROBED, **parts})


def preloaded(program: str, package: str, pattern: str) -> str:
    """A library of a Debian package that takes the place of calls of the C library."""
    require_tool(program, package)
    found = sorted(Path("/usr/lib").glob(pattern))
    assert found, f"{package} has no {pattern}"
    return str(found[0])


def test_a_clock_that_jumps_by_an_hour_forward_and_back_is_noticed_by_nobody(tmp_path: Path):
    """Only the clock on the wall: what has to be measured is measured by the other one."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    environ = {
        "LD_PRELOAD": preloaded("faketime", "faketime", "*/faketime/libfaketime.so.1"),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with (
        toxic_upstreams("v1", "v2") as upstreams,
        whole_proxy(tmp_path, a_file(upstreams, breaker={}), environ=environ) as proxy,
    ):
        accounts, workers = Accounts(proxy), proxy.workers()
        with checked_load(proxy.address, Wishes(clients=4)) as load:
            for jump in ("+3600", "-3600", "+0"):
                offset.write_text(jump)
                changed = proxy.admin.set_split("shop", {"v1": 1}, reason=jump)
                assert abs(changed["last_change"]["at"] - time.time() - float(jump)) < 1800  # it is in force
                more = accounts.grown("serinus_requests_total") + 50
                wait_until(lambda: accounts.grown("serinus_requests_total") > more, "for requests meanwhile")  # noqa: B023
            asked = load.end()
        assert {(each.status, each.broke, each.wrong) for each in asked} == {(200, "", "")}
        assert proxy.workers() == workers
        assert accounts.grown("serinus_endpoint_ejections_total") == 0
        accounts.settle()
        assert sum(accounts.counted().values()) == len(asked)


def nft(rules: str) -> None:
    """Replace the rules of the network that this thread is in."""
    table = f"flush ruleset\ntable inet chaos {{\nchain input {{\ntype filter hook input priority 0;\n{rules}\n}}\n}}\n"
    subprocess.run([require_tool("nft", "nftables"), "-f", "-"], input=table, text=True, check=True)


@in_own_network
def test_where_packets_are_lost_requests_take_longer_and_each_has_one_end(tmp_path: Path):
    with toxic_upstreams("v1") as upstreams:
        patient = {"timeouts": {"connect": "5s", "response": "20s"}, "ejection": "off", "health": "off"}
        with whole_proxy(tmp_path, a_file(upstreams, **patient)) as proxy:
            accounts = Accounts(proxy)
            nft(f"tcp dport {proxy.address[1]} numgen random mod 100 < 5 drop\n"
                f"tcp dport {upstreams.places['v1'].rpartition(':')[2]} numgen random mod 100 < 5 drop")  # fmt: skip
            with checked_load(proxy.address, Wishes(clients=20, pause=0.01)) as load:
                time.sleep(3)
                asked = load.end()
            nft("")
            assert [each.wrong for each in asked if each.wrong] == []
            assert {each.status for each in asked} <= {200, 502, 504}
            assert sum(each.status == 200 for each in asked) > len(asked) / 2
            accounts.settle()


@in_own_network
def test_an_endpoint_that_no_packet_reaches_is_504_and_is_used_again_when_the_link_is_back(tmp_path: Path):
    with toxic_upstreams("v1") as upstreams:
        waits = {"timeouts": {"connect": "500ms", "response": "1s", "idle": "1s"}, "ejection": "off", "health": "off"}
        with whole_proxy(tmp_path, a_file(upstreams, **waits)) as proxy:
            assert checked(proxy.address).what == 200
            accounts = Accounts(proxy)
            nft(f"tcp dport {upstreams.places['v1'].rpartition(':')[2]} drop")
            with ThreadPoolExecutor(10) as pool:
                found = {each.what for each in pool.map(lambda _: checked(proxy.address), range(10))}
            assert found == {504}
            nft("")
            wait_until(lambda: checked(proxy.address).what == 200, "for the link")
            accounts.settle()


def test_where_a_name_leads_is_followed_and_when_it_leads_nowhere_the_last_place_stays(tmp_path: Path):
    """Names are looked up through the C library, whose hosts file is one of our own."""
    library = next(Path("/usr/lib").glob("*/libnss_wrapper.so"), None)
    if library is None:
        require_tool("libnss_wrapper.so", "libnss-wrapper")
    hosts = tmp_path / "hosts"
    environ = {"LD_PRELOAD": str(library), "NSS_WRAPPER_HOSTS": str(hosts)}
    with toxic_upstreams("v1") as upstreams:
        _, _, port = upstreams.places["v1"].rpartition(":")
        tree = a_service({"v1": f"shop.test:{port}"}, {"v1": 1}, resolve_interval="200ms", timeouts={"connect": "1s"})
        hosts.write_text("127.0.0.1 shop.test\n")
        with whole_proxy(tmp_path, tree, environ=environ) as proxy:
            wait_until(lambda: checked(proxy.address).what == 200, "for the name to be known")
            lead(hosts, "127.0.0.1 another.test")
            wait_until(lambda: "shop.test cannot be looked up" in proxy.log, "for the name to be gone")
            assert {checked(proxy.address).what for _ in range(10)} == {200}
            lead(hosts, "127.0.0.9 shop.test")
            wait_until(lambda: checked(proxy.address).what == 502, "for the new place, where nobody is")
            lead(hosts, "127.0.0.1 shop.test")
            wait_until(lambda: checked(proxy.address).what == 200, "for the old place again")


def lead(hosts: Path, line: str) -> None:
    """Replace the hosts file. It is read again when its time is another one, in whole seconds."""
    written = hosts.stat().st_mtime
    new = hosts.with_name("hosts.new")
    new.write_text(f"{line}\n")
    os.utime(new, (written + 10, written + 10))
    new.rename(hosts)
