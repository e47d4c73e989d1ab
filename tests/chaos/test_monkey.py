"""Several faults at once, at random, and the invariants that hold whatever happens (tests/chaos/monkey.py)."""

from collections.abc import Iterator

import pytest

from tests.chaos.monkey import FAULTS, Scene, a_scene, play
from tests.support.long_forms import long_or

SEEDS = range(long_or(4, 1000))

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with a_scene(tmp_path_factory.mktemp("monkey")) as scene:
        yield scene


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_every_request_has_one_end_and_all_is_well_afterwards(scene: Scene, seed: int):
    print(play(scene, seed))


def test_each_fault_has_a_name_of_its_own():
    assert len({fault.__name__ for fault in FAULTS}) == len(FAULTS)
