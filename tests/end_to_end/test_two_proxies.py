"""Two real proxies that one controller leads: a user is served alike, whichever proxy they come to."""

from collections import Counter
from pathlib import Path

from tests.support.named_upstreams import named_upstreams
from tests.support.whole_controller import whole_controller
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

USERS = [f"user-{number}" for number in range(100)]


def versions(proxy: WholeProxy) -> dict[str, str]:
    """The version that each user gets."""
    return {user: proxy.ask(X_User_Id=user)[1] for user in USERS}


def test_every_proxy_deals_the_users_of_a_rollout_alike(tmp_path: Path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
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
