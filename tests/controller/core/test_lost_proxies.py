"""A proxy that does not answer any more: how long that is said, and how a rollout gets on without it."""

import pytest

from tests.controller.core.test_canary import an_outage, at_step


@pytest.mark.parametrize("phase", ["frozen", "rolling_back"])
def test_a_proxy_that_nobody_leads_any_more_is_not_waited_for(phase: str):
    """As after a restart of the controller with another file."""
    world = at_step(1, proxies=2)
    if phase == "frozen":
        world.outage = an_outage()
        world.tick()
        world.outage = None
    world.lost = {"p1"}
    if phase == "rolling_back":
        world.order("abort")
    world.tick(times=100)
    assert (world.rollout.phase, "p1 does not answer, for 1m39s now" in world.sentence) == (phase, True)
    del world.proxies["p1"]
    world.lost = set()
    world.until("promoted" if phase == "frozen" else "rolled_back")
