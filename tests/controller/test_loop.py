"""How long a loop rests; what it does in its turns is in test_conductor.py."""

import pytest

from controller.loop import IDLE_SECONDS, idle_seconds
from tests.support.rollout_world import World


@pytest.mark.parametrize(("passed", "rest"), [(0.0, IDLE_SECONDS), (50.0, 10.0), (59.9, 1.0), (100.0, 1.0)])
def test_a_promoted_rollout_is_looked_at_when_its_way_back_ends(passed: float, rest: float):
    world = World("strategy: blue-green, bake: off, on: {no_data: advance}, keep_old: 60")
    world.until("promoted")
    now = world.rollout.entered_at + passed
    assert idle_seconds(world.rollout, now, at_least=1.0) == pytest.approx(rest)
