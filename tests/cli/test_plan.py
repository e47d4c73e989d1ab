"""`serinus rollout plan`: from the controller, or from a file alone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from controller.api.plan_view import plan_view
from controller.core.planning import Measured, assumed_latencies, make_plan
from tests.cli.fake_controller import FakeController, serving
from tests.support.rollout_world import CANARY, policy_of

Run = Callable[..., Result]

FILE = """
listen: [{address: 127.0.0.1:8080}]
services:
  shop:
    versions: {stable: {endpoints: ["127.0.0.1:9001"]}, canary: {endpoints: ["127.0.0.1:9002"]}}
    split: {stable: 1}
rollouts: {shop: {strategy: canary, from: stable, to: canary}}
"""


@pytest.fixture
def controller() -> Iterator[FakeController]:
    with serving() as fake:
        policy = policy_of(CANARY)
        plan = make_plan(policy, 4, Measured(10.0, 0.001, assumed_latencies(0.04), seconds=300.0))
        fake.plan = plan_view("shop", policy, plan, "shop-3", 1).model_dump(mode="json", by_alias=True)
        yield fake


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = tmp_path / "serinus.yaml"
    path.write_text(FILE)
    return str(path)


def test_the_plan_of_the_controller_is_shown_step_by_step(run: Run, controller: FakeController):
    result = run("rollout", "plan", "shop", SERINUS_CONTROLLER=controller.address)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("shop: shop-3, canary to canary; 10 requests per second, 0.1% errors, p50 4")
    assert lines[0].endswith("(in the last 5m)")
    assert any("2 (now)" in line and "600" in line for line in lines)
    assert "cannot see an error rate of 5%" in result.stdout
    assert controller.asked[-1][1] == "/v1/plan?service=shop"


def test_another_rate_is_asked_of_the_controller(run: Run, controller: FakeController):
    result = run("rollout", "plan", "shop", "--rate", "50", "--json", SERINUS_CONTROLLER=controller.address)
    assert json.loads(result.stdout) == controller.plan
    assert controller.asked[-1][1] == "/v1/plan?service=shop&rate=50.0"


def test_a_refusal_of_the_controller_is_told(run: Run, controller: FakeController):
    controller.plan = None
    result = run("rollout", "plan", "shp", SERINUS_CONTROLLER=controller.address)
    assert (result.exit_code, "has no rollout for 'shp'" in result.stderr) == (1, True)


def test_a_file_and_a_rate_are_enough(run: Run, path: str, unused_port: int):
    arguments = ("rollout", "plan", "shop", "-c", path, "--rate", "0.05", "--errors", "2%")
    result = run(*arguments, SERINUS_CONTROLLER=f"127.0.0.1:{unused_port}")
    assert result.exit_code == 0
    assert "0.05 requests per second, 2% errors" in result.stdout
    assert "(assumed)" in result.stdout
    found = json.loads(run(*arguments, "--json").stdout)
    assert (found["rate"], found["errors"], len(found["steps"])) == (0.05, 0.02, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("shop",), "say how many requests per second with --rate"),
        (("shp", "--rate", "1"), "has no rollout for 'shp'; did you mean shop?"),
        (("shop", "--rate", "0"), "0.0 is not in the range"),
        (("shop", "--rate", "1", "--latency", "2h"), "medians from 0.1 ms to 60 s"),
    ],
)
def test_impossible_options_are_said(run: Run, path: str, arguments: tuple[str, ...], words: str):
    result = run("rollout", "plan", "-c", path, *arguments)
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


def test_nobody_there_is_3(run: Run, unused_port: int):
    assert run("rollout", "plan", "shop", SERINUS_CONTROLLER=f"127.0.0.1:{unused_port}").exit_code == 3
