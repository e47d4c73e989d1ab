"""kill -9 of the controller in every state of a canary: after its restart the rollout ends as it would have.

The states are those of the table, so that a new one without a way to it fails here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.canary_scene import book_of, canary_scene, kinds_of, policy, records_of
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
    steps = policy((10, "1h"), (100, "1h"), promote="time", checks=checks)
    with canary_scene(folder, steps) as scene, load(scene.proxy, kept=2, pause=0.01):
        yield PoolWays(scene, note, ("advanced", "concluded", "completed"))


@pytest.mark.parametrize("way", WAYS)
def test_a_controller_that_is_killed_goes_on_where_it_was(ways: PoolWays, way: str):
    identity, end = walk(ways, way)
    assert ways.has_everything("canary" if end == "promoted" else "stable")
    ways.leave(identity)


def test_what_the_journal_holds_in_the_end_gives_the_same_book_again(ways: PoolWays):
    """After as many kills as there are states."""
    scene = ways.scene
    told = {rollout["id"]: rollout for rollout in scene.controller.client.rollouts()["rollouts"]}
    scene.controller.kill()
    records = records_of(scene.folder)
    book = book_of(records)
    assert {identity: rollout.phase for identity, rollout in book.rollouts.items()} == {
        identity: rollout["phase"] for identity, rollout in told.items()
    }
    assert [record.n for record in records] == list(range(1, len(records) + 1))
    assert kinds_of(records, "shop-1")[0] == "created"
    scene.controller.start()
