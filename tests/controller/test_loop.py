"""How long a loop rests, and what is worth a line in its log; what it does in its turns is in test_conductor.py."""

import pytest

from controller.loop import IDLE_SECONDS, idle_seconds, without_numbers
from tests.support.rollout_world import World


@pytest.mark.parametrize(("passed", "rest"), [(0.0, IDLE_SECONDS), (50.0, 10.0), (59.9, 1.0), (100.0, 1.0)])
def test_a_promoted_rollout_is_looked_at_when_its_way_back_ends(passed: float, rest: float):
    world = World("strategy: blue-green, bake: off, on: {no_data: advance}, keep_old: 60")
    world.until("promoted")
    now = world.rollout.entered_at + passed
    assert idle_seconds(world.rollout, now, at_least=1.0) == pytest.approx(rest)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("holds for another 1h: slow", "holds for another 59m59s: slow"),
        ("127.0.0.1:9900 does not answer, for 59s now: refused", "127.0.0.1:9900 does not answer, for 1m now: refused"),
        ("cannot judge: 900ms", "cannot judge: 1s"),
    ],
)
def test_a_wait_that_only_gets_longer_is_the_same_wait(earlier: str, later: str):
    assert without_numbers(earlier) == without_numbers(later)


def test_words_are_not_taken_for_durations():
    assert without_numbers("waits until somebody puts v2 on 3 hosts") == "waits until somebody puts v on  hosts"
