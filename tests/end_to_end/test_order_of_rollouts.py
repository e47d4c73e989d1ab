"""A second rollout for a service, a stopped line, a freeze window: what has to wait; the way back never does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.faults import Refused
from tests.support.knobbed_upstream import knobbed_upstreams
from tests.support.whole_controller import WholeController, whole_controller
from tests.support.whole_proxy import WholeProxy, whole_proxy

pytestmark = pytest.mark.timeout(300)

BAKING = {"bake": "10m"}
AT_ONCE = {"bake": "off", "on": {"no_data": "advance"}}


class Scene:
    def __init__(self, proxy: WholeProxy, controller: WholeController) -> None:
        self.proxy = proxy
        self.controller = controller

    @property
    def active(self) -> str | None:
        return self.proxy.admin.service("shop")["active"]

    def start(self, to: str, *arguments: str) -> tuple[int, str]:
        ended = self.controller.serinus("start", "shop", "--to", to, *arguments)
        return ended.returncode, ended.stdout + ended.stderr

    def baking(self, to: str) -> None:
        """The first rollout, switched and watched."""
        assert self.start(to)[0] == 0
        self.controller.until_it("shop-1", lambda found: found["phase"] == "step" and found["applied"], "to bake")
        assert self.active == to

    def stop_line(self, *, stopped: bool) -> None:
        assert self.controller.client.set_line(stopped=stopped, reason="incident 7")["stopped"] == stopped

    def waits(self, identity: str, phase: str, sentence: str) -> None:
        """Wait until a rollout says that it waits for this."""
        self.controller.until_it(
            identity, lambda found: found["phase"] == phase and sentence in found["waits"], f"to wait: {sentence}"
        )


@contextmanager
def a_scene(folder: Path, policy: dict[str, Any], **controller: Any) -> Iterator[Scene]:
    """Three versions, of which blue is active."""
    with knobbed_upstreams("blue", "green", "red") as upstreams:
        versions = {each.name: {"endpoints": [each.address]} for each in upstreams}
        shop = {"versions": versions, "active": "blue", "ejection": "off"}
        rollout = {"strategy": "blue-green", "from": "blue", "to": "green", **policy}
        tree = {"services": {"shop": shop}, "state_dir": str(folder / "state"), "rollouts": {"shop": rollout}}
        with whole_proxy(folder, tree) as proxy:
            settings = {"interval": "100ms", **controller}
            with whole_controller(proxy, {**tree, "controller": settings}) as running:
                yield Scene(proxy, running)


def test_a_second_rollout_is_rejected_while_one_goes_on(tmp_path: Path):
    with a_scene(tmp_path, BAKING) as scene:
        scene.baking("green")
        code, words = scene.start("red")
        assert code == 1
        assert "shop has the rollout shop-1, which is in step 1" in words
        assert "ask to queue or supersede" in words
        assert [each["id"] for each in scene.controller.client.rollouts()["rollouts"]] == ["shop-1"]
        assert scene.active == "green"


def test_a_queued_rollout_begins_when_the_one_before_it_has_been_taken_back(tmp_path: Path):
    with a_scene(tmp_path, BAKING) as scene:
        scene.baking("green")
        assert scene.start("red", "--if-running", "queue")[0] == 0
        scene.waits("shop-2", "pending", "waits for shop-1")
        assert scene.active == "green"
        scene.controller.client.order("shop-1", "abort")
        scene.controller.until_it("shop-2", lambda found: found["phase"] == "step" and found["applied"], "to bake")
        assert scene.controller.client.rollout("shop-1")["phase"] == "rolled_back"
        assert scene.active == "red"


def test_a_queued_rollout_ends_with_a_sentence_when_the_one_before_it_has_made_it_impossible(tmp_path: Path):
    with a_scene(tmp_path, BAKING) as scene:
        scene.baking("green")
        assert scene.start("red", "--if-running", "queue")[0] == 0
        scene.waits("shop-2", "pending", "waits for shop-1")
        scene.controller.client.order("shop-1", "promote")
        found = scene.controller.until("shop-2", "rolled_back")
        assert "blue gets no requests now, so there is nothing to roll out from" in found["why"]
        assert (scene.controller.client.rollout("shop-1")["phase"], scene.active) == ("promoted", "green")


def test_a_rollout_that_supersedes_takes_the_one_before_it_back_first(tmp_path: Path):
    with a_scene(tmp_path, BAKING) as scene:
        scene.baking("green")
        assert scene.start("red", "--if-running", "supersede")[0] == 0
        scene.controller.until_it("shop-2", lambda found: found["phase"] == "step" and found["applied"], "to bake")
        first = scene.controller.client.rollout("shop-1")
        assert (first["phase"], first["why"]) == ("rolled_back", "superseded by shop-2")
        assert scene.active == "red"


def test_a_stopped_line_lets_nothing_go_forward_and_everything_back(tmp_path: Path):
    with a_scene(tmp_path, BAKING) as scene:
        scene.baking("green")
        scene.stop_line(stopped=True)
        with pytest.raises(Refused, match="nothing may move forward now, so promote has to wait: the line is stopped"):
            scene.controller.client.order("shop-1", "promote")
        assert scene.controller.serinus("abort", "shop", "--wait").returncode == 0
        assert scene.active == "blue"
        assert scene.start("green")[0] == 0
        scene.waits("shop-2", "pending", "the line is stopped by")
        assert "incident 7" in scene.controller.client.rollout("shop-2")["waits"]
        scene.stop_line(stopped=False)
        scene.controller.until("shop-2", "step")


def test_in_a_freeze_window_nothing_begins_until_it_is_over_and_an_old_rollout_can_still_be_taken_back(tmp_path: Path):
    with a_scene(tmp_path, AT_ONCE) as scene:
        assert scene.start("green", "--wait")[0] == 0
        assert scene.controller.end() == 0
        text = scene.controller.path.read_text()
        always = "controller:\n  freeze: [{reason: christmas}]\n"
        scene.controller.path.write_text(text.replace("controller:\n", always))
        scene.controller.start()
        assert scene.controller.serinus("abort", "shop-1", "--wait").returncode == 0
        assert scene.active == "blue"
        assert scene.start("green")[0] == 0
        scene.waits("shop-2", "pending", "christmas until ")
        assert "christmas" in scene.controller.serinus("status").stdout
        assert scene.active == "blue"
