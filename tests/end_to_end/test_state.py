"""What was changed live outlives the proxy, however it ended, and is never dropped without a word."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, failed_start, wait_until, whole_proxy

USERS = [f"user-{number}" for number in range(200)]


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    with named_upstreams("stable", "second", "canary") as running:
        yield running


@pytest.fixture
def tree(places: dict[str, str]) -> dict[str, Any]:
    versions = {"stable": [places["stable"], places["second"]], "canary": [places["canary"]]}
    return a_service(versions, {"stable": 99, "canary": 1}, sticky={"key": ["header:X-User-Id"]})


def live(proxy: WholeProxy) -> dict[str, Any]:
    """Weights, and endpoints with their states."""
    shop = proxy.admin.service("shop")
    endpoints = {
        name: {endpoint["address"]: endpoint["state"] for endpoint in version["endpoints"]}
        for name, version in shop["versions"].items()
    }
    return {"split": shop["split"], "endpoints": endpoints, "by": shop["last_change"]["reason"]}


def versions_of(proxy: WholeProxy) -> dict[str, str]:
    """Which version each user gets."""
    answers = {user: proxy.ask(X_User_Id=user)[1] for user in USERS}
    return {user: "canary" if answer == "canary" else "stable" for user, answer in answers.items()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_weights_endpoints_states_and_salts_survive(
    tree: dict[str, Any], places: dict[str, str], tmp_path: Path, number: signal.Signals
):
    with whole_proxy(tmp_path, tree) as proxy:
        proxy.admin.add_endpoint("shop", "canary", "127.0.0.1:9", reason="more room")
        proxy.admin.set_endpoint_state("shop", "canary", "127.0.0.1:9", "down")
        proxy.admin.set_endpoint_state("shop", "stable", places["second"], "drain")
        changed = proxy.admin.set_split("shop", {"stable": 60, "canary": 40}, reason="it does well")
        before, versions = live(proxy), versions_of(proxy)
        assert set(versions.values()) == {"stable", "canary"}
        assert proxy.end(number) == (0 if number == signal.SIGTERM else -number)
        wait_until(lambda: not proxy.left(), "for the workers to end without their supervisor")
    with whole_proxy(tmp_path, tree) as proxy:
        assert live(proxy) == before
        assert versions_of(proxy) == versions
        assert proxy.admin.state()["generation"] > changed["generation"]


def test_what_differs_from_the_file_is_printed_at_start_and_by_config_diff(
    tree: dict[str, Any], places: dict[str, str], tmp_path: Path
):
    with whole_proxy(tmp_path, tree) as proxy:
        assert proxy.serinus("config", "diff") == (0, "what is live is what the file says\n")
        proxy.admin.set_split("shop", {"stable": 60, "canary": 40}, reason="it does well")
        proxy.admin.set_endpoint_state("shop", "stable", places["second"], "drain")
    with whole_proxy(tmp_path, tree) as proxy:
        code, text = proxy.serinus("config", "diff")
        state = f"endpoints.{places['second']}.state"
        assert (code, [line for line in text.splitlines() if not line.startswith(" ")]) == (
            0,
            [
                "services.shop.split: stable=60 canary=40 is live, stable=99 canary=1 in the file",
                f"services.shop.versions.stable.{state}: drain is live, up in the file",
            ],
        )
        assert "shop: split stable=60 canary=40 (" in proxy.log
        assert f"shop: versions.stable.{state} drain (" in proxy.log


def test_what_the_file_has_no_place_for_any_more_is_dropped_with_a_word(
    tree: dict[str, Any], places: dict[str, str], tmp_path: Path
):
    with whole_proxy(tmp_path, tree) as proxy:
        proxy.admin.set_split("shop", {"canary": 1})
    without_canary = a_service({"stable": places["stable"]}, {"stable": 1})
    with whole_proxy(tmp_path, without_canary) as proxy:
        assert "what was changed live for canary is dropped: the file has no such version any more" in proxy.log
        assert proxy.ask() == (200, "stable")


@pytest.mark.parametrize("text", ['{"format": "serinus live state", "versi', "weights: {stable: 1}\n", ""])
def test_a_torn_or_foreign_file_is_refused_and_left_alone(tree: dict[str, Any], tmp_path: Path, text: str):
    path = tmp_path / "state" / "live.json"
    path.parent.mkdir()
    path.write_text(text)
    code, words = failed_start(tmp_path, tree)
    assert (code, path.read_text()) == (1, text)
    assert words.startswith(f"serinus: {path} was cut off or is no state file of Serinus")
    assert f"mv {path} {path}.bad" in words


def test_a_second_proxy_on_the_same_state_is_refused(tree: dict[str, Any], tmp_path: Path):
    with whole_proxy(tmp_path, tree) as proxy:
        code, words = failed_start(tmp_path, tree)
        assert (code, f"belongs to another running proxy (pid {proxy.program.pid})" in words) == (1, True)
        assert proxy.ask()[0] == 200
