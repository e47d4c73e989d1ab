"""kill -9 of the controller in every state of a blue-green rollout: after its restart it ends as it would have.

The states are those of the table, so that a new one without a way to it fails here. After the switch, some users are
bound to the old pool, so that there is somebody to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.canary_scene import canary_scene
from tests.support.load import load
from tests.support.pool_restarts import PoolWays
from tests.support.restarts import WAYS, outside, walk

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolWays]:
    """One proxy with traffic for all states; each test leaves it as it has found it."""
    folder = tmp_path_factory.mktemp("restarts")
    note = folder / "outside"
    checks = [{"kind": "error_rate"}, outside(note)]
    policy = {"strategy": "blue-green", "from": "stable", "to": "canary", "bake": "1h", "checks": checks}
    old_users = {"match": {"path_prefix": "/old"}, "service": "shop", "version": "stable"}
    routes: list[dict[str, Any]] = [old_users, {"service": "shop"}]
    with (
        canary_scene(folder, policy, service={"active": "stable"}, routes=routes) as scene,
        load(scene.proxy, kept=2, pause=0.01),
        load(scene.proxy, kept=1, pause=0.01, path="/old"),
    ):
        yield PoolWays(scene, note, ("concluded", "completed"))


@pytest.mark.parametrize("way", WAYS)
def test_a_controller_that_is_killed_goes_on_where_it_was(ways: PoolWays, way: str):
    identity, end = walk(ways, way)
    active = "canary" if end == "promoted" else "stable"
    assert ways.scene.proxy.admin.service("shop")["active"] == active
    assert ways.has_everything(active)
    ways.leave(identity)
