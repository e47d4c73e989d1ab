"""A rolling rollout, decided second by second."""

import pytest

from controller.core.actions import RunDeploy
from controller.core.observed import RunEnd
from controller.core.orders import Refused
from tests.support.rollout_world import World

HOOK = "strategy: rolling, settle: 30, deploy: {exec: 'deploy {endpoint} {version}'}"
BY_HAND = "strategy: rolling, settle: 30"
ENDPOINTS = [f"127.0.0.1:{port}" for port in range(9001, 9005)]


def stages(world: World) -> list[str]:
    return [unit.stage for unit in world.rollout.units]


def until_stage(world: World, index: int, stage: str) -> None:
    while stages(world)[index : index + 1] != [stage]:
        world.tick()


def places(world: World, version: str) -> list[str]:
    return sorted(world.proxies["p0"].endpoints[version])


def test_endpoint_by_endpoint_gets_the_new_version():
    world = World(HOOK)
    served = []
    while world.rollout.phase != "promoted":
        world.tick()
        served.append(dict(world.proxies["p0"].split.weights))
    assert [run.address for run in world.runs] == ENDPOINTS
    assert {(run.version, run.previous) for run in world.runs} == {("canary", "stable")}
    assert (places(world, "stable"), places(world, "canary")) == ([], ENDPOINTS)
    assert min(sum(weights.values()) for weights in served[10:]) == 3
    assert served[-1] == {"stable": 0, "canary": 4}


def test_nothing_is_deployed_before_an_endpoint_is_idle():
    world = World(HOOK)
    world.set_endpoint("stable", ENDPOINTS[0], in_flight=2)
    until_stage(world, 0, "draining")
    world.set_endpoint("stable", ENDPOINTS[0], in_flight=2)
    world.tick(times=50)
    assert (world.runs, world.sentence) == ([], "waits for 127.0.0.1:9001: 2 in flight")
    assert world.proxies["p0"].endpoints["stable"][ENDPOINTS[0]].state == "drain"
    world.set_endpoint("stable", ENDPOINTS[0], in_flight=0)
    world.tick()
    assert [run.address for run in world.runs] == [ENDPOINTS[0]]


def test_an_endpoint_gets_requests_only_when_it_is_well_with_the_new_version():
    world = World(HOOK)
    until_stage(world, 0, "joining")
    world.set_endpoint("canary", ENDPOINTS[0], healthy=False)
    world.tick(times=100)
    assert (world.share(), world.sentence) == (0, "waits until 127.0.0.1:9001 is well with canary")
    world.set_endpoint("canary", ENDPOINTS[0], healthy=True)
    world.tick(times=2)
    assert world.share() == 25


def test_no_endpoint_is_taken_out_while_another_one_is_unwell():
    world = World(HOOK)
    world.set_endpoint("stable", ENDPOINTS[2], healthy=False)
    world.tick(times=50)
    assert (stages(world), world.sentence) == (
        ["old"] * 4,
        "waits: 1 other endpoints of 3 are not well, so 127.0.0.1:9001 has to stay",
    )
    world.set_endpoint("stable", ENDPOINTS[2], healthy=True)
    world.until("promoted")


def test_several_endpoints_may_be_out_at_once():
    world = World(HOOK + ", max_unavailable: 2")
    world.until("promoted")
    assert world.kinds.count("advanced") == 1
    assert [run.address for run in world.runs] == ENDPOINTS


def test_a_bad_version_stops_at_the_first_endpoint_and_comes_back():
    world = World(HOOK)
    until_stage(world, 0, "new")
    world.tick(times=3)
    assert world.share() == 25
    world.verdicts["error-rate"] = "FAIL"
    world.tick()
    assert world.share() == 0
    world.until("rolled_back")
    assert [(run.address, run.version) for run in world.runs] == [(ENDPOINTS[0], "canary"), (ENDPOINTS[0], "stable")]
    assert (places(world, "stable"), places(world, "canary")) == (ENDPOINTS, [])
    assert dict(world.proxies["p0"].split.weights) == {"stable": 4, "canary": 0}


def test_the_way_back_is_the_way_there_and_never_takes_more_out_at_once():
    world = World(HOOK)
    until_stage(world, 2, "new")
    world.order("abort")
    least = 4.0
    while world.rollout.phase != "rolled_back":
        world.tick()
        least = min(least, sum(world.proxies["p0"].split.weights.values()))
    assert [run.address for run in world.runs[3:]] == list(reversed(ENDPOINTS[:3]))
    assert least == 3


def test_an_abort_in_the_middle_of_a_deployment_waits_for_the_hook_and_deploys_the_old_version():
    world = World(HOOK)
    world.deploys = lambda run: None
    until_stage(world, 0, "deploying")
    world.order("abort")
    world.tick(times=20)
    assert world.sentence == "waits for the hook on 127.0.0.1:9001"
    world.deploys = lambda run: RunEnd(True)
    world.run_ends[1] = RunEnd(False, "terminated")
    world.until("rolled_back")
    assert [(run.run, run.version) for run in world.runs] == [(1, "canary"), (2, "stable")]


def test_an_endpoint_that_was_only_drained_just_comes_back():
    world = World(HOOK)
    until_stage(world, 0, "draining")
    world.set_endpoint("stable", ENDPOINTS[0], in_flight=1)
    world.order("abort")
    world.until("rolled_back")
    assert world.runs == []
    assert {endpoint.state for endpoint in world.proxies["p0"].endpoints["stable"].values()} == {"up"}


def test_a_hook_that_fails_rolls_back():
    world = World(HOOK)
    world.deploys = lambda run: RunEnd(run.version == "stable" or run.run == 1, "exit status 3")
    world.until("rolled_back")
    assert world.rollout.failed == ("deploy",)
    assert world.rollout.why == "canary could not be deployed on 127.0.0.1:9002: exit status 3"


def test_a_hook_that_fails_on_the_way_back_is_tried_for_ever():
    world = World(HOOK)
    fails = [True]
    world.deploys = lambda run: RunEnd(run.version == "canary" or not fails[0], "disk full")
    until_stage(world, 1, "new")
    world.order("abort")
    world.tick(times=500)
    assert world.rollout.phase == "rolling_back"
    assert world.sentence == "stable could not be deployed on 127.0.0.1:9002 (disk full): will be tried again"
    assert len(world.runs) > 5
    assert len({run.run for run in world.runs}) == len(world.runs)
    fails[0] = False
    world.until("rolled_back")


def test_a_failed_hook_that_holds_is_tried_again_by_a_resume():
    world = World(HOOK + ", on: {fail: hold}")
    world.deploys = lambda run: RunEnd(run.run > 1, "exit status 3")
    world.until("holding")
    assert stages(world)[0] == "deploying"
    with pytest.raises(Refused, match=r"still moves 127\.0\.0\.1:9001"):
        world.order("promote")
    world.order("resume")
    world.until("promoted")
    assert [run.address for run in world.runs] == [ENDPOINTS[0], *ENDPOINTS]


def test_an_endpoint_that_does_not_get_well_is_a_failure():
    world = World("strategy: rolling, settle: 30, deploy: {exec: deploy, timeout: 60}")
    until_stage(world, 0, "joining")
    world.set_endpoint("canary", ENDPOINTS[0], healthy=False)
    world.until("rolling_back")
    assert world.rollout.why == "127.0.0.1:9001 is not well with canary after 61 s"


def test_without_a_hook_an_endpoint_is_seen_changing():
    world = World(BY_HAND)
    for index, address in enumerate(ENDPOINTS):
        until_stage(world, index, "deploying")
        world.tick(times=3)
        assert world.sentence == f"waits until somebody puts canary on {address}; `promote` says that it is there"
        world.set_endpoint("stable", address, healthy=False)
        until_stage(world, index, "changing")
        world.set_endpoint("stable", address, healthy=True)
        until_stage(world, index, "new")
    world.until("promoted")
    assert world.runs == []


def test_without_a_hook_a_person_may_say_that_an_endpoint_has_changed():
    world = World(BY_HAND)
    until_stage(world, 0, "deploying")
    world.order("promote")
    until_stage(world, 0, "new")


def test_without_a_hook_a_failure_holds_once_something_was_deployed():
    world = World(BY_HAND)
    until_stage(world, 0, "deploying")
    world.order("promote")
    until_stage(world, 0, "new")
    world.verdicts["error-rate"] = "FAIL"
    world.tick(times=5)
    assert world.rollout.phase == "holding"
    assert world.rollout.why == "error-rate: it is FAIL; no deploy hook can put stable back"
    world.order("abort")
    until_stage(world, 0, "reverting")
    world.order("promote")
    world.until("rolled_back")
    assert (places(world, "stable"), places(world, "canary")) == (ENDPOINTS, [])


def test_promote_takes_one_step_and_not_all_of_them():
    world = World(HOOK)
    until_stage(world, 0, "new")
    with pytest.raises(Refused, match="takes the next step only"):
        world.order("promote", all_steps=True)
    world.order("promote")
    assert world.rollout.step == 1


def test_endpoints_that_somebody_has_taken_out_are_left_alone():
    world = World(HOOK)
    world.set_endpoint("stable", ENDPOINTS[3], state="down")
    world.until("promoted")
    assert [run.address for run in world.runs] == ENDPOINTS[:3]
    assert world.proxies["p0"].endpoints["stable"][ENDPOINTS[3]].state == "down"


def test_it_does_not_begin_when_no_endpoint_would_be_left_or_the_new_version_has_some():
    world = World("strategy: rolling, max_unavailable: 4")
    world.tick()
    assert world.rollout.why == ("stable has 4 endpoints that are up; with max_unavailable 4 none would be left")
    world = World(HOOK)
    world.proxies = {"p0": World().proxies["p0"]}
    world.tick()
    assert world.rollout.why.startswith("canary has endpoints already")


def test_every_run_of_the_hook_has_a_number_of_its_own():
    world = World(HOOK)
    world.until("promoted")
    world.order("abort")
    world.until("rolled_back")
    world.order("retry")
    world.until("promoted")
    assert [run.run for run in world.runs] == list(range(1, 13))
    assert world.runs[4] == RunDeploy(5, ENDPOINTS[3], "stable", "canary")
