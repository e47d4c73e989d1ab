"""Reading the file again, by SIGHUP and by the admin API: a good one is served, a bad one changes nothing."""

import signal
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection
from typing import Any

import pytest

from cli.faults import Invalid
from tests.support.load import load
from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import WholeProxy, wait_until, whole_proxy

Reload = Callable[[WholeProxy], None]


def by_signal(proxy: WholeProxy) -> None:
    before = proxy.log.count("the file was")
    proxy.program.send_signal(signal.SIGHUP)
    wait_until(lambda: proxy.log.count("the file was") > before, "for the file to be read again")


def by_api(proxy: WholeProxy) -> None:
    try:
        proxy.admin.reload()
    except Invalid as refused:
        print(refused.as_text())


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    with named_upstreams("stable", "canary", "cart") as running:
        yield running


def a_file(places: Mapping[str, str], canary: float = 0, **parts: Any) -> dict[str, Any]:
    """Two services; `shop` has a canary with this weight."""
    versions = {version: {"endpoints": [places[version]]} for version in ("stable", "canary")}
    return {
        "services": {
            "shop": {"versions": versions, "split": {"stable": 100 - canary, "canary": canary}},
            "cart": {"versions": {"v1": {"endpoints": [places["cart"]]}}},
        },
        "routes": [{"match": {"host": "cart.example"}, "service": "cart"}, {"service": "shop"}],
        **parts,
    }


@pytest.fixture(scope="module")
def running(places: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    with whole_proxy(tmp_path_factory.mktemp("proxy"), a_file(places)) as proxy:
        yield proxy


@pytest.fixture
def proxy(running: WholeProxy, places: Mapping[str, str]) -> WholeProxy:
    """A proxy that serves this file, whatever it was told before."""
    running.take(a_file(places))
    return running


@pytest.mark.parametrize("reload", [by_signal, by_api])
def test_a_good_file_is_served_under_load_without_a_failed_request(
    proxy: WholeProxy, places: dict[str, str], reload: Reload
):
    with load(proxy, kept=8, fresh=2) as running:
        for weight in (100, 0, 100):
            proxy.write(a_file(places, canary=weight))
            reload(proxy)
            assert {proxy.ask() for _ in range(10)} == {(200, "canary" if weight else "stable")}
        requests = running.end()
    assert {(request.status, request.failure) for request in requests} == {(200, "")}


@pytest.mark.parametrize("reload", [by_signal, by_api])
def test_a_bad_file_changes_nothing(proxy: WholeProxy, places: dict[str, str], reload: Reload):
    before = proxy.admin.state()
    proxy.write({**a_file(places, canary=100), "limts": {}})
    reload(proxy)
    assert proxy.admin.state()["generation"] == before["generation"]
    assert {proxy.ask() for _ in range(10)} == {(200, "stable")}
    assert proxy.metrics()["serinus_config_last_reload_successful{}"] == 0


def test_the_problems_of_a_bad_file_are_answered_and_logged(proxy: WholeProxy, places: dict[str, str]):
    file = a_file(places)
    file["services"]["shop"]["split"] = {"stabel": 1}
    proxy.write({**file, "limts": {}})
    with pytest.raises(Invalid) as refused:
        proxy.admin.reload()
    assert [(problem.path, problem.suggestion) for problem in refused.value.problems] == [
        ("services.shop.split.stabel", "stable"),
        ("limts", "limits"),
    ]
    by_signal(proxy)
    assert "the file was not taken, what was served goes on:" in proxy.log
    assert all(f"{name!r}" in proxy.log for name in ("limts", "stabel"))


@pytest.mark.parametrize("reload", [by_signal, by_api])
def test_services_that_did_not_change_keep_their_connections(proxy: WholeProxy, places: dict[str, str], reload: Reload):
    clients = [HTTPConnection(*proxy.address, timeout=30) for _ in range(16)]
    assert [ask_cart(client) for client in clients] == ["cart"] * 16
    sockets, connects = [client.sock for client in clients], connects_to_cart(proxy)
    assert connects >= 1
    proxy.write(a_file(places, canary=50, timeouts={"keepalive": "50s"}))
    reload(proxy)
    assert [ask_cart(client) for client in clients] == ["cart"] * 16
    assert [client.sock for client in clients] == sockets
    assert connects_to_cart(proxy) == connects
    for client in clients:
        client.close()


def ask_cart(client: HTTPConnection) -> str:
    client.request("GET", "/", headers={"Host": "cart.example"})
    return client.getresponse().read().decode()


def connects_to_cart(proxy: WholeProxy) -> float:
    metrics = proxy.metrics()
    return sum(
        count
        for name, count in metrics.items()
        if name.startswith("serinus_endpoint_connects_total") and "service=cart" in name
    )


def test_services_and_endpoints_come_and_go(proxy: WholeProxy, places: dict[str, str]):
    without_cart = a_file(places)
    del without_cart["services"]["cart"], without_cart["routes"][0]
    proxy.write(without_cart)
    by_signal(proxy)
    assert proxy.ask(Host="cart.example") == (200, "stable")
    proxy.write(a_file(places))
    by_signal(proxy)
    assert proxy.ask(Host="cart.example") == (200, "cart")
    proxy.write(a_file({**places, "stable": places["cart"]}))
    by_signal(proxy)
    assert {proxy.ask() for _ in range(10)} == {(200, "cart")}


def test_what_needs_a_restart_is_said(proxy: WholeProxy, places: dict[str, str]):
    proxy.write(a_file(places, workers=1))
    by_signal(proxy)
    assert "workers is another one in the file now; changing it needs a restart" in proxy.log
    assert len(proxy.workers()) == 2
