"""The table of transitions, and what each event does besides."""

import itertools
import json
import math
from dataclasses import replace

import pytest

from controller.core.events import KINDS, Event, Kind
from controller.core.model import PHASES, Phase, from_json, to_json
from controller.core.transitions import TABLE, BadClock, IllegalTransition, apply, create
from tests.support.rollout_world import BLUE_GREEN, CANARY, ROLLING, World, created


def test_every_phase_has_its_row_and_every_event_is_used():
    assert set(TABLE) == set(PHASES)
    assert {kind for row in TABLE.values() for kind in row} | {"created"} == set(KINDS)


def test_every_phase_can_be_reached_and_left_but_for_the_end():
    reached: set[Phase] = {"pending"}
    for _ in PHASES:
        reached |= {target for phase in reached for target in TABLE[phase].values()}
    assert reached == set(PHASES)
    stuck = {phase for phase, row in TABLE.items() if set(row.values()) <= {phase}}
    assert stuck == set()


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in ("rolling_back", "rolled_back")])
def test_an_abort_leads_back_from_every_phase(phase: Phase):
    assert TABLE[phase]["aborted"] in ("rolling_back", "rolled_back")


def test_the_picture_in_the_module_is_the_table():
    forward = ["pending", "preparing", "step", "finishing", "promoted"]
    for earlier, later in itertools.pairwise(forward):
        assert later in TABLE[earlier].values()  # type: ignore[index]
    for side in ("paused", "holding", "frozen"):
        assert side in TABLE["step"].values()
        assert "step" in TABLE[side].values()
    assert list(TABLE["rolled_back"].values()) == ["pending"]


def test_an_illegal_pair_is_refused_with_its_names():
    rollout = create("shop-1", created(CANARY))
    with pytest.raises(
        IllegalTransition, match=r"shop-1 is pending, where 'advanced' cannot happen; what can is: began"
    ):
        apply(rollout, Event("advanced", 1.0))


@pytest.mark.parametrize("at", [-1.0, math.nan, math.inf])
def test_an_instant_that_cannot_be_is_refused(at: float):
    with pytest.raises(BadClock):
        apply(create("shop-1", created(CANARY)), Event("began", at))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "created"])
def test_a_rollout_begins_with_its_creation(kind: Kind):
    with pytest.raises(ValueError, match="not with a 'created'"):
        create("shop-1", Event(kind, 0.0))


@pytest.mark.parametrize("settings", [CANARY, BLUE_GREEN, ROLLING])
def test_a_rollout_goes_through_json_and_comes_back_the_same(settings: str):
    world = World(settings)
    world.tick(times=20)
    world.verdicts = dict.fromkeys(world.verdicts, "FAIL")
    world.tick()
    again = from_json(json.dumps(to_json(world.rollout)))
    assert again == world.rollout


def test_a_rollout_shows_where_it_is():
    world = World(CANARY)
    world.until("step")
    assert repr(world.rollout) == "<Rollout shop-1 step 0, intent 2 not applied>"
    assert repr(replace(world.rollout, failed=("latency",))).endswith("not applied, failed latency>")
