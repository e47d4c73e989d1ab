"""What people may order in each phase."""

from dataclasses import replace

import pytest

from controller.core.model import PHASES, Phase
from controller.core.orders import VERBS, Order, Refused, Verb, obey
from tests.support.rollout_world import World


def world_in(phase: Phase) -> World:
    world = World()
    world.until("step")
    world.tick(times=3)
    world.rollout = replace(world.rollout, phase=phase)
    return world


MAKES_SENSE: dict[Verb, set[Phase]] = {
    "promote": {"step", "paused", "holding", "frozen"},
    "pause": {"step", "frozen", "paused"},
    "resume": {"paused", "holding"},
    "abort": set(PHASES),
    "retry": {"rolled_back"},
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("phase", PHASES)
def test_an_order_is_taken_where_it_makes_sense_and_refused_elsewhere(verb: Verb, phase: Phase):
    world = world_in(phase)
    if phase in MAKES_SENSE[verb]:
        world.order(verb)
    else:
        with pytest.raises(Refused, match=f"shop-1 is {world.rollout.place}, where there is nothing to {verb}"):
            world.order(verb)


@pytest.mark.parametrize("phase", PHASES)
def test_a_second_abort_changes_nothing_more(phase: Phase):
    world = world_in(phase)
    world.order("abort")
    assert world.rollout.phase in ("rolling_back", "rolled_back")
    before = world.rollout
    assert world.order("abort") is None
    assert world.rollout == before


def test_an_event_says_who_wanted_it_and_why():
    event = obey(world_in("step").rollout, Order("pause", "bob", "lunch"), 100.0)
    assert event is not None
    assert (event.why, event.by) == ("paused by bob: lunch", "bob")


def test_a_refusal_says_what_would_be_possible():
    with pytest.raises(Refused, match="nothing to resume; promote or pause or abort is possible"):
        world_in("step").order("resume")
