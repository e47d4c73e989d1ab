"""Canaries with real processes: a good one, bad ones, an outage of both versions, and no traffic at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.controller import DecisionStatus
from tests.support.canary_scene import Scene, canary_scene, policy
from tests.support.load import load
from tests.support.paced import paced
from tests.support.whole_proxy import wait_until

pytestmark = pytest.mark.timeout(240)

#: Requests to the old version before a rollout begins, so that there is something to compare with.
SOME_PAST = 50
GOOD = policy((1, "2s"), (10, "2s"), (50, "2s"), (100, "2s"), promote="time")


def why(scene: Scene, identity: str) -> list[DecisionStatus]:
    """What `serinus rollout why` says of the past."""
    told = scene.controller.serinus("why", identity, "--json")
    assert told.returncode == 0, told.stderr
    found: list[DecisionStatus] = json.loads(told.stdout)["decisions"]
    return found


def test_a_good_canary_goes_1_10_50_100_without_a_failed_request_and_tells_each_step_with_its_numbers(tmp_path: Path):
    with canary_scene(tmp_path, GOOD) as scene, load(scene.proxy, kept=4, fresh=1, pause=0.01) as running:
        ended = scene.controller.serinus("start", "shop", "--wait")
        requests = running.end()
        assert (ended.returncode, ended.stdout.split(" (")[0]) == (0, "shop-1: promoted"), ended.stderr
        assert scene.weights == {"stable": 0, "canary": 100}
        assert [request for request in requests if request.status != 200] == []
        assert {request.answer for request in requests} == {"stable", "canary"}
        assert scene.kinds("shop-1") == [
            *("created", "began", "prepared", "advanced", "advanced", "advanced", "concluded", "completed")
        ]
        assert_told(why(scene, "shop-1"))


def assert_told(decisions: list[DecisionStatus]) -> None:
    """Every step says which check let it pass, and what both versions had done until then."""
    steps = [each for each in decisions if each["event"] in ("advanced", "concluded")]
    assert len(steps) == 4
    for each in steps:
        assert each["sentence"].startswith("error-rate ")
        errors = next(verdict for verdict in each["verdicts"] if verdict["check"] == "error-rate")
        new, old = errors["numbers"]["new"], errors["numbers"]["old"]
        assert (new["errors"], old["errors"]) == (0, 0)
        assert new["requests"] + old["requests"] > 0
        assert errors["numbers"]["evidence"] < errors["numbers"]["needed"]


@pytest.mark.parametrize(("errors", "most", "seed"), [(1.0, 12, 1), (0.2, 20, 1)], ids=["all", "one in five"])
def test_a_bad_canary_at_50_requests_a_second_is_back_at_0_before_many_have_seen_it(
    tmp_path: Path, errors: float, most: int, seed: int, capsys: pytest.CaptureFixture[str]
):
    """What fails is drawn from a seed, and the traffic does not run ahead of the proxy."""
    slow = policy((10, "10m"), (50, "10m"), (100, "10m"))
    with canary_scene(tmp_path, slow) as scene, paced(scene.proxy) as traffic:
        wait_until(lambda: traffic.answers("stable") >= SOME_PAST)
        scene.upstreams.fail("canary", errors=errors, seed=seed)
        started = scene.controller.client.start("shop")
        ended = scene.controller.until(started["id"], "rolled_back", "promoted")
        traffic.end()
        with capsys.disabled():
            print(f"\n{errors:.0%} of the answers bad: clients saw {traffic.bad}; {ended['why']}")
        assert ended["phase"] == "rolled_back"
        assert scene.weights == {"stable": 100, "canary": 0}
        assert 0 < traffic.bad == scene.upstreams.counts()["canary"].failed <= most
        assert why(scene, started["id"])[-1]["event"] == "restored"


def test_an_outage_of_both_versions_rolls_nothing_back_and_promotes_nothing_until_it_is_over(tmp_path: Path):
    """It begins shortly after a raise, so the new version is taken out as long as it lasts: it may be the cause."""
    steps = policy((10, "3s"), (50, "1s"), (100, "1s"), promote="time")
    with canary_scene(tmp_path, steps) as scene, load(scene.proxy, kept=3, pause=0.01):
        started = scene.controller.client.start("shop")
        wait_until(lambda: scene.weights["canary"] == 10)
        scene.upstreams.fail("stable", "canary", errors=0.3)
        scene.controller.until(started["id"], "frozen")
        wait_until(lambda: scene.weights["canary"] == 0)
        shown = scene.controller.serinus("status", "shop").stdout
        assert "frozen" in shown
        assert "canary may be the cause of the outage: it began after a raise" in shown
        wait_until(lambda: scene.upstreams.counts()["stable"].failed >= 200)
        assert scene.controller.client.rollout(started["id"])["phase"] == "frozen"
        scene.upstreams.heal("stable", "canary")
        scene.controller.until(started["id"], "promoted")
        assert scene.kinds(started["id"]) == [
            *("created", "began", "prepared", "froze", "retreated", "thawed"),
            *("advanced", "advanced", "concluded", "completed"),
        ]


def test_without_traffic_it_neither_promotes_nor_rolls_back_and_says_what_would_help(tmp_path: Path):
    steps = [{"weight": weight, "bake": "1s", "max": "3s"} for weight in (10, 100)]
    silent = {"strategy": "canary", "from": "stable", "to": "canary", "steps": steps}
    with canary_scene(tmp_path, silent) as scene:
        started = scene.controller.client.start("shop")
        scene.controller.until_it(started["id"], lambda found: "no requests" in found["waits"], "to have no data")
        status = scene.controller.serinus("status", "shop").stdout
        told = scene.controller.serinus("why", "shop").stdout
        for words in (status, told):
            assert "NO_DATA" in words
            assert "send some" in words
        held = scene.controller.until(started["id"], "holding")
        assert held["why"].startswith("not enough is known after ")
        assert "NO_DATA: no requests in the last 60 s; send some, or wait" in held["why"]
        wait_until(lambda: scene.weights == {"stable": 99, "canary": 1})
        assert scene.kinds(started["id"]) == ["created", "began", "prepared", "held"]
