"""kill -9 of the controller in every state of a rolling rollout: after its restart it ends as it would have.

The states are those of the table, so that a new one without a way to it fails here. What it does to the endpoints
meanwhile is in `test_restarts_endpoints`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.load import load
from tests.support.restarts import WAYS, outside, walk
from tests.support.rolling_restarts import RollingWays
from tests.support.rolling_scene import a_scene

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RollingWays]:
    """Two endpoints with traffic for all states; each test leaves one version at both of them, whichever it is."""
    folder = tmp_path_factory.mktemp("restarts")
    note = folder / "outside"
    gate = {"kind": "http", "name": "gate", "url": "http://ENDPOINT/gate", "at": "before", "interval": "100ms"}
    checks = [{"kind": "error_rate"}, {**gate, "attempts": 10_000}, outside(note)]
    scene = a_scene(folder, "v2", {}, endpoints=2, service={"retries": {"attempts": 0}}, settle="1h", checks=checks)
    with scene as playing, load(playing.proxy, kept=2, pause=0.01):
        ways = RollingWays(playing, note, ("advanced", "concluded", "completed"))
        nowhere_to_go = tuple(kind for kind in ways.ends["frozen"] if kind != "retreated")
        ways.ends["frozen"] = nowhere_to_go
        yield ways


@pytest.mark.parametrize("way", WAYS)
def test_a_controller_that_is_killed_goes_on_where_it_was(ways: RollingWays, way: str):
    old, new = ways.old_and_new()
    _, end = walk(ways, way)
    here, gone = (new, old) if end == "promoted" else (old, new)
    assert ways.scene.endpoints.running() == [here] * 2
    assert ways.scene.places() == {here: sorted(ways.scene.endpoints.addresses), gone: []}
