"""kill -9 of the controller at every stage of an endpoint of a rolling rollout: it is drained, deployed and taken up as
it would have been, nothing is deployed twice, and no request fails for it.

The stages are those of the model, so that a new one without a way to it fails here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, get_args

import pytest

from controller.core.model import Stage
from tests.support.restarts import killed, moves
from tests.support.rolling_restarts import EndpointWays, ManualWays
from tests.support.rolling_scene import a_scene
from tests.support.whole_proxy import wait_until

pytestmark = pytest.mark.timeout(240)

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
WITHOUT_HOOK: Final = ("changing", "changing_back")
THERE: Final = ["draining", "deploying", "joining", "new"]
BACK: Final = ["leaving", "reverting", "returning", "old"]
THERE_BY_HAND: Final = ["draining", "deploying", "changing", "joining", "new"]
BACK_BY_HAND: Final = ["leaving", "reverting", "changing_back", "returning", "old"]
GOING_BACK: Final = ("leaving", "reverting", "changing_back", "returning")
#: Nothing is ended because a test is slow.
PATIENT: Final[dict[str, Any]] = {"drain": {"timeout": "10m"}, "timeouts": {"response": "10m"}}


@pytest.fixture(scope="module")
def by_hook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointWays]:
    """Two endpoints; each test leaves one version at both of them, whichever it is."""
    folder = tmp_path_factory.mktemp("by-hook")
    with a_scene(folder, "v2", {}, endpoints=2, service=PATIENT, settle="1h") as scene:
        yield EndpointWays(scene, folder / "outside", ())


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManualWays]:
    """The same, where nobody deploys but the test."""
    folder = tmp_path_factory.mktemp("by-hand")
    with a_scene(folder, "v2", endpoints=2, service=PATIENT, settle="1h") as scene:
        yield ManualWays(scene, folder / "outside", ())


def ends_well(ways: EndpointWays, identity: str, stage: Stage) -> None:
    """Let the rollout go on, and look at what became of the endpoints."""
    old, new = ways.old_version, ways.new_version
    there, back = (THERE_BY_HAND, BACK_BY_HAND) if stage in WITHOUT_HOOK else (THERE, BACK)
    if stage in GOING_BACK:
        ways.go_on(identity, "rolled_back")
        assert moves(ways.scene, identity) == {ways.first: [*there, *back]}
        here, gone = old, new
    else:
        ways.go_on(identity, "promoted")
        assert moves(ways.scene, identity) == {ways.first: there, ways.second: there}
        here, gone = new, old
    assert ways.scene.endpoints.running() == [here] * 2
    assert ways.scene.places() == {here: sorted(ways.scene.endpoints.addresses), gone: []}


@pytest.mark.parametrize("stage", STAGES)
def test_a_controller_that_is_killed_goes_on_where_it_was(request: pytest.FixtureRequest, stage: Stage):
    ways: EndpointWays = request.getfixturevalue("by_hand" if stage in WITHOUT_HOOK else "by_hook")
    deployed = len(ways.scene.endpoints.deploys())
    with ways.into(stage) as identity:
        before = killed(ways.scene, identity, "rolling_back" if stage in GOING_BACK else "step")
        assert (before.units[0].address, before.units[0].stage) == (ways.first, stage)
    ends_well(ways, identity, stage)
    deploys = ways.scene.endpoints.deploys()[deployed:]
    assert len(set(deploys)) == len(deploys)


@pytest.mark.parametrize("stage", ["deploying", "reverting"])
def test_a_hook_that_ends_while_there_is_no_controller_is_not_run_again(by_hook: EndpointWays, stage: Stage):
    scene = by_hook.scene
    deployed = len(scene.endpoints.deploys())
    with by_hook.into(stage) as identity:
        runs = len(scene.runs())
        scene.controller.kill()
        scene.endpoints.take_away("wait")
        wait_until(lambda: len(scene.runs()) > runs, "for the hook to end")
        scene.controller.start()
    ends_well(by_hook, identity, stage)
    deploys = scene.endpoints.deploys()[deployed:]
    assert len(set(deploys)) == len(deploys)
