"""A rollout to a version that no rollout of the file names: the proxies guard it as they would that of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.canary_scene import canary_scene, policy
from tests.support.load import load
from tests.support.whole_proxy import wait_until

pytestmark = pytest.mark.timeout(240)


def test_a_version_that_only_the_order_names_is_taken_out_by_the_breaker_without_any_controller(tmp_path: Path):
    """Also long after the controller has gone: what its lease has said stays said."""
    steps = policy((10, "1h"), (100, "1s"), promote="time", on_controller_loss={"after": "3s", "do": "hold"})
    scene_of_three = canary_scene(tmp_path, steps, versions=("stable", "canary", "v3"))
    with scene_of_three as scene, load(scene.proxy, kept=2, pause=0.01):
        identity = scene.controller.client.start("shop", to="v3")["id"]
        scene.controller.until_it(
            identity, lambda found: found["phase"] == "step" and found["applied"], "to have begun"
        )
        assert scene.weights == {"stable": 90, "canary": 0, "v3": 10}
        scene.controller.kill()

        def lease_has_run_out() -> bool:
            lease = scene.proxy.admin.service("shop")["lease"]
            return lease is not None and lease["ran_out"] is not None

        wait_until(lease_has_run_out, "for the lease to run out")
        scene.upstreams.fail("v3")
        wait_until(lambda: scene.weights == {"stable": 90, "canary": 0, "v3": 0}, "for the breaker")
        change = scene.proxy.admin.service("shop")["split_change"]
        assert (change["by"], "requests failed" in change["reason"]) == ("breaker", True)
        scene.controller.start()
        found = scene.controller.until(identity, "rolled_back")
    assert found["failed"][0] == "breaker"
