"""Two real proxies that one controller leads: a user is served alike, whichever proxy they come to."""

import json
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.named_upstreams import named_upstreams
from tests.support.whole_controller import whole_controller
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

USERS = [f"user-{number}" for number in range(100)]


def versions(proxy: WholeProxy) -> dict[str, str]:
    """The version that each user gets."""
    return {user: proxy.ask(X_User_Id=user)[1] for user in USERS}


def cookie_of_a_new_user(proxy: WholeProxy) -> tuple[str, str]:
    """The version that somebody without a cookie gets, and the cookie that they are given."""
    connection = HTTPConnection(*proxy.address, timeout=30)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        given = response.getheader("Set-Cookie") or ""
        return response.read().decode(), given.partition(";")[0]
    finally:
        connection.close()


def deal_alike(proxy: WholeProxy, weights: dict[str, float]) -> None:
    """Set the weights with a salt that every proxy gets."""
    connection = HTTPConnection(proxy.admin_address, timeout=30)
    try:
        body = json.dumps({"weights": weights, "salt": "5" * 32})
        connection.request("PUT", "/v1/services/shop/split", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
    finally:
        connection.close()


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    return folders


def test_proxies_that_share_a_secret_know_the_users_of_each_other_by_their_cookies(folders: list[Path]):
    for folder in folders:
        (folder / "cookie.secret").write_text("one for both, of 16 bytes or more")
        (folder / "cookie.secret").chmod(0o600)
    with named_upstreams("stable", "canary") as places:
        tree = a_service(places, {"stable": 1, "canary": 1}, sticky={"key": "own-cookie"})
        with (
            whole_proxy(folders[0], {**tree, "cookie_secret_file": "cookie.secret"}) as one,
            whole_proxy(folders[1], {**tree, "cookie_secret_file": "cookie.secret"}) as two,
        ):
            for proxy in (one, two):
                deal_alike(proxy, {"stable": 1, "canary": 1})
            cookies = {cookie: version for version, cookie in (cookie_of_a_new_user(one) for _ in range(40))}
            assert Counter(cookies.values()).keys() == {"stable", "canary"}
            assert {cookie: two.ask(Cookie=cookie)[1] for cookie in cookies} == cookies


def test_every_proxy_deals_the_users_of_a_rollout_alike(folders: list[Path], tmp_path: Path):
    with named_upstreams("stable", "canary") as places:
        tree = a_service(places, {"stable": 1}, sticky={"key": ["header:X-User-Id"]})
        steps = [{"weight": 50, "bake": "10m"}, {"weight": 100, "bake": "10m"}]
        tree["rollouts"] = {"shop": {"strategy": "canary", "from": "stable", "to": "canary", "steps": steps}}
        with whole_proxy(folders[0], tree) as one, whole_proxy(folders[1], tree) as two:
            one.admin.set_split("shop", {"stable": 50, "canary": 50})
            two.admin.set_split("shop", {"stable": 50, "canary": 50})
            assert versions(one) != versions(two)  # each by a salt of its own
            led = [{"address": proxy.admin_address} for proxy in (one, two)]
            of_the_controller = {**tree, "state_dir": str(tmp_path / "state"), "controller": {"proxies": led}}
            with whole_controller(one, of_the_controller) as controller:
                identity = controller.client.start("shop")["id"]
                controller.until_it(identity, lambda rollout: rollout["applied"] and rollout["step"] == 0, "to apply")
                wait_until(
                    lambda: all(proxy.admin.service("shop")["split"]["canary"] == 50 for proxy in (one, two)),
                    "for both proxies to have the first step",
                )
                found = versions(one)
                assert versions(two) == found
                assert Counter(found.values()).keys() == {"stable", "canary"}
