"""A proxy that is gone for good: a rollout waits for it and says so, until its address is taken out of the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest

from tests.support.canary_scene import policy, shop, weights_of
from tests.support.failing_upstreams import FailingUpstreams, failing_upstreams
from tests.support.load import load
from tests.support.whole_controller import WholeController, whole_controller
from tests.support.whole_proxy import WholeProxy, whole_proxy

pytestmark = pytest.mark.timeout(240)

#: The first step lasts until somebody promotes it.
GATED = policy((10, "1h"), (100, "1s"), promote="time", checks=[{"kind": "error_rate"}])
ADVICE = (
    "Bring it back. If it is gone for good, take its address out of controller.proxies in the file and restart the "
    "controller: rollouts go on where they are."
)


class Scene(NamedTuple):
    stays: WholeProxy
    goes: WholeProxy
    controller: WholeController
    upstreams: FailingUpstreams
    tree: dict[str, Any]


@contextmanager
def two_proxies(folder: Path) -> Iterator[Scene]:
    """Two proxies with traffic, and one controller that leads both."""
    with ExitStack() as stack:
        upstreams = stack.enter_context(failing_upstreams("stable", "canary"))
        tree = {"services": {"shop": shop(upstreams)}, "rollouts": {"shop": GATED}}
        proxies = []
        for name in ("stays", "goes"):
            (folder / name).mkdir()
            parts = {**tree, "state_dir": str(folder / name / "state")}
            proxies.append(stack.enter_context(whole_proxy(folder / name, parts)))
            stack.enter_context(load(proxies[-1], kept=2, pause=0.01))
        led = [{"address": proxy.admin_address} for proxy in proxies]
        ruled = {**tree, "state_dir": str(folder / "state"), "controller": {"proxies": led}}
        stays, goes = proxies
        controller = stack.enter_context(whole_controller(stays, ruled))
        yield Scene(stays, goes, controller, upstreams, ruled)


@pytest.mark.parametrize("phase", ["frozen", "rolling_back"])
def test_it_is_named_with_what_to_do_and_without_its_address_the_rollout_goes_on(
    tmp_path: Path, phase: Literal["frozen", "rolling_back"]
):
    with two_proxies(tmp_path) as scene:
        controller, address = scene.controller, scene.goes.admin_address
        identity = controller.client.start("shop")["id"]
        controller.until_it(identity, lambda found: found["phase"] == "step" and found["elapsed"] > 0, "to bake")
        if phase == "frozen":
            scene.upstreams.fail("stable", "canary", errors=0.15)
            controller.until(identity, "frozen")
        assert scene.goes.end() == 0
        if phase == "frozen":
            scene.upstreams.heal("stable", "canary")
        else:
            controller.client.order(identity, "abort")
        controller.until_it(
            identity,
            lambda found: found["phase"] == phase and f"{address} does not answer, for" in found["waits"],
            "to miss a proxy",
        )
        told = controller.serinus("status", "shop").stdout.splitlines()
        assert f"{address} does not answer since " in told[-2]
        assert told[-1] == ADVICE

        scene.controller.write({**scene.tree, "controller": {"proxies": [{"address": scene.stays.admin_address}]}})
        assert controller.end() == 0
        controller.start()
        if phase == "frozen":
            controller.until_it(identity, lambda found: found["phase"] == "step" and found["elapsed"] > 0, "to thaw")
            controller.client.order(identity, "promote")
        end = controller.until(identity, "promoted" if phase == "frozen" else "rolled_back")
        assert end["lost"] == []
        wanted = {"stable": 0, "canary": 100} if phase == "frozen" else {"stable": 100, "canary": 0}
        assert weights_of(scene.stays) == wanted
