"""Blue-green rollouts from the first check to the way back, with real processes and traffic."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.faults import Refused
from tests.support.knobbed_upstream import KnobbedUpstream, knobbed_upstreams
from tests.support.load import Request, load
from tests.support.whole_controller import WholeController, whole_controller
from tests.support.whole_proxy import WholeProxy, wait_until, whole_proxy

#: Stands for the address of the proxy, which is known once it runs.
PROXY = "http://proxy.invalid"

pytestmark = pytest.mark.timeout(300)


class Scene(NamedTuple):
    proxy: WholeProxy
    controller: WholeController
    blue: KnobbedUpstream
    green: KnobbedUpstream

    @property
    def active(self) -> str | None:
        return self.proxy.admin.service("shop")["active"]

    def order(self, verb: Any, *phases: str) -> None:
        """Order something of the first rollout, and wait until it is in one of these phases."""
        self.controller.client.order("shop-1", verb, reason="because")
        self.controller.until("shop-1", *phases)


@contextmanager
def a_scene(folder: Path, **policy: Any) -> Iterator[Scene]:
    """Blue and green, blue active, and a rollout to green. Checks of the preview ask the proxy, see `PROXY`."""
    rollout = {"strategy": "blue-green", "from": "blue", "to": "green", "preview": {"headers": {"X-Preview": "green"}}}
    with knobbed_upstreams("blue", "green") as (blue, green):
        versions = {each.name: {"endpoints": [each.address]} for each in (blue, green)}
        shop = {"versions": versions, "active": "blue", "ejection": "off", "retries": {"attempts": 0}}
        tree = {
            "services": {"shop": shop},
            "state_dir": str(folder / "state"),
            "rollouts": {"shop": {**rollout, **policy}},
        }
        with whole_proxy(folder, tree) as proxy:
            tree = json.loads(json.dumps(tree).replace(PROXY, proxy.url))
            with whole_controller(proxy, {**tree, "controller": {"interval": "100ms"}}) as controller:
                yield Scene(proxy, controller, blue, green)


SMOKE = {
    "kind": "http",
    "name": "smoke",
    "url": f"{PROXY}/",
    "headers": {"X-Preview": "green"},
    "interval": "100ms",
    "attempts": 2,
}


def statuses(requests: list[Request]) -> set[tuple[int, str, str]]:
    return {(request.status, request.answer, request.failure) for request in requests}


def test_a_preview_that_fails_keeps_the_switch_from_happening(tmp_path: Path):
    with a_scene(tmp_path, before=[SMOKE]) as scene, load(scene.proxy, kept=2, pause=0.01) as running:
        scene.green.status = 500
        ended = scene.controller.serinus("start", "shop", "--wait")
        assert (ended.returncode, scene.active) == (1, "blue")
        assert "smoke: " in ended.stderr
        assert "status 500 (2 of 2 failures in a row)" in ended.stderr
        assert statuses(running.end()) == {(200, "blue", "")}


def test_a_command_that_fails_keeps_the_switch_from_happening(tmp_path: Path):
    code = "import sys; print('asked for', *sys.argv[1:]); sys.exit(3)"
    (tmp_path / "smoke.py").write_text(code)
    command = f"{sys.executable} {tmp_path / 'smoke.py'} {{version}} {{previous}} {{service}}"
    with a_scene(tmp_path, before=[{"kind": "exec", "command": command}]) as scene:
        ended = scene.controller.serinus("start", "shop", "--wait")
        assert (ended.returncode, scene.active) == (1, "blue")
        assert "exec: exit status 3: asked for green blue shop" in ended.stderr
        assert scene.green.requests == 0


def test_after_good_checks_everything_is_switched_watched_and_can_be_taken_back_in_one_step(tmp_path: Path):
    (tmp_path / "smoke.py").write_text("import time; time.sleep(0.2)")
    command = {"kind": "exec", "command": f"{sys.executable} {tmp_path / 'smoke.py'}"}
    with a_scene(tmp_path, before=[SMOKE, command], bake="2s") as scene:
        with load(scene.proxy, kept=2, pause=0.01) as running:
            ended = scene.controller.serinus("start", "shop", "--wait")
            assert (ended.returncode, scene.active) == (0, "green"), ended.stderr
            taken_back = scene.controller.serinus("abort", "shop", "--wait", "--reason", "customers complain")
            assert (taken_back.returncode, scene.active) == (0, "blue"), taken_back.stderr
            requests = running.end()
        assert statuses(requests) == {(200, "blue", ""), (200, "green", "")}
        why = scene.controller.serinus("why", "shop").stdout
        assert "customers complain" in why


def test_a_pool_that_fails_after_the_switch_is_switched_back(tmp_path: Path):
    with a_scene(tmp_path, bake="10m") as scene, load(scene.proxy, kept=2, pause=0.01) as running:
        wait_until(lambda: scene.proxy.answers()["blue"] >= 200, "for blue to be known")
        started = scene.controller.client.start("shop")
        scene.controller.until(started["id"], "step")
        scene.green.status = 500
        found = scene.controller.until(started["id"], "rolled_back")
        back = time.monotonic_ns()
        assert scene.active == "blue"
        assert found["failed"]
        scene.proxy.ask()
        time.sleep(0.5)
        requests = running.end()
    assert {request.status for request in requests} == {200, 500}
    assert statuses([request for request in requests if request.begin > back]) == {(200, "blue", "")}


def test_after_keep_old_it_cannot_be_taken_back(tmp_path: Path):
    with a_scene(tmp_path, bake="off", on={"no_data": "advance"}, keep_old="500ms") as scene:
        assert scene.controller.serinus("start", "shop", "--wait").returncode == 0
        scene.controller.until_it("shop-1", lambda found: found["sealed"], "to be sealed")
        ended = scene.controller.serinus("abort", "shop")
        assert (ended.returncode, scene.active) == (1, "green")
        assert "blue is not kept for it any more" in ended.stderr


def test_pause_resume_promote_and_abort_at_each_point(tmp_path: Path):
    with a_scene(tmp_path, before=[{**SMOKE, "attempts": 10_000}], bake="10m") as scene:
        scene.green.status = 503
        scene.controller.client.start("shop")
        scene.controller.until("shop-1", "preparing")
        for verb in ("pause", "resume", "promote", "retry"):
            with pytest.raises(Refused, match=f"preparing, where there is nothing to {verb}; abort is possible"):
                scene.order(verb)
        scene.order("abort", "rolled_back")
        scene.green.status = 200
        assert scene.active == "blue"
        for verbs in (
            [("promote", "promoted", "green")],
            [("pause", "paused", "green"), ("resume", "step", "green"), ("abort", "rolled_back", "blue")],
            [("pause", "paused", "green"), ("promote", "promoted", "green"), ("abort", "rolled_back", "blue")],
        ):
            if scene.active == "green":
                scene.order("abort", "rolled_back")
            scene.order("retry", "step")
            for verb, phase, active in verbs:
                scene.order(verb, phase)
                scene.controller.until_it("shop-1", lambda found: found["applied"], "to be served")
                assert scene.active == active, verb


def test_a_switch_by_hand_pauses_the_rollout_and_a_resume_takes_it_back(tmp_path: Path):
    with a_scene(tmp_path, bake="10m") as scene:
        scene.controller.client.start("shop")
        scene.controller.until_it("shop-1", lambda found: found["phase"] == "step" and found["applied"], "to bake")
        scene.proxy.admin.activate("shop", "blue", reason="looks odd")
        found = scene.controller.until("shop-1", "paused")
        assert found["why"].endswith("looks odd")
        assert scene.active == "blue"
        scene.order("resume", "step")
        scene.controller.until_it("shop-1", lambda found: found["applied"], "to be served")
        assert scene.active == "green"
