"""The judge at work: fed by proxies, told of steps, kept through restarts."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from controller.core.buckets import EMPTY, Bucket
from controller.core.judge import Judge
from controller.core.model import Rollout
from controller.core.terms import Terms
from controller.judging import Judging
from tests.controller.test_harvest import answer, second
from tests.support.rollout_world import BLUE_GREEN, CANARY, ROLLING, World

RUNS = 30
SHORT = "strategy: canary, steps: [{weight: 10, bake: 60}, {weight: 100, bake: 60}]"


class Traffic:
    """A rollout's judge, and seconds of traffic for it."""

    def __init__(self, settings: str = SHORT) -> None:
        self.world = World(settings)
        self.judging = Judging(self.world.rollout)
        self.now = 1000
        self.history: list[tuple[dict[str, Any], dict[str, Any]]] = []

    @property
    def rollout(self) -> Rollout:
        return self.world.rollout

    def pass_by(self, seconds: int, old: tuple[int, int], new: tuple[int, int] = (0, 0), *, looks: bool = True) -> None:
        """Seconds with so many requests and errors of each version. The rollout's clock is ours here."""
        for _ in range(seconds):
            self.history.append((second(self.now, old[0], errors=old[1]), second(self.now, new[0], errors=new[1])))
            self.now += 1
            if looks:
                self.look()

    def look(self) -> None:
        told = [[each[side] for each in self.history[-900:] if each[side]["requests"]] for side in (0, 1)]
        self.judging.update(
            self.rollout, {"p": answer(self.now, *told)}, float(self.now), max(1000.0, self.rollout.judged_since)
        )

    def begin(self) -> None:
        """Go to the first step, now."""
        self.world.now = self.now - 10.0
        while not self.rollout.runs_since:
            self.world.tick()

    @property
    def values(self) -> dict[str, str]:
        return {verdict.check: verdict.value for verdict in self.judging.verdicts}


def test_nothing_is_judged_before_the_first_step():
    traffic = Traffic()
    traffic.pass_by(30, (100, 1))
    assert traffic.values == {}
    traffic.begin()
    traffic.pass_by(1, (90, 0), (10, 0))
    assert set(traffic.values) == {"error-rate", "latency"}


def test_a_version_that_always_fails_is_condemned_within_seconds():
    traffic = Traffic()
    traffic.pass_by(60, (100, 0))
    traffic.begin()
    traffic.pass_by(15, (90, 0), (10, 10))
    assert traffic.values["error-rate"] == "FAIL"


def test_a_good_version_passes():
    traffic = Traffic()
    traffic.pass_by(60, (100, 0))
    traffic.begin()
    traffic.pass_by(200, (90, 0), (10, 0))
    assert traffic.values == {"error-rate": "PASS", "latency": "PASS"}


@pytest.mark.parametrize(("warm_up", "are_warm"), [("5s", True), ("30s", False)])
def test_new_instances_warm_up_as_long_as_the_file_says(warm_up: str, are_warm: bool):
    traffic = Traffic(f"{SHORT}, warm_up: {warm_up}")
    traffic.pass_by(60, (100, 0))
    traffic.begin()
    traffic.pass_by(25, (90, 0), (10, 0))
    assert all("warm up" in verdict.reason for verdict in traffic.judging.verdicts) is not are_warm


def test_silence_is_no_data():
    traffic = Traffic()
    traffic.begin()
    traffic.pass_by(70, (0, 0))
    assert set(traffic.values.values()) == {"NO_DATA"}


def test_after_a_full_switch_the_old_version_s_past_is_compared_with():
    traffic = Traffic(BLUE_GREEN)
    traffic.pass_by(120, (50, 0))
    traffic.begin()
    traffic.pass_by(60, (0, 0), (50, 0))
    assert "FAIL" not in traffic.values.values()
    traffic.pass_by(20, (0, 0), (50, 40))
    assert traffic.values["error-rate"] == "FAIL"


@pytest.mark.parametrize(("seconds", "good"), [(3, 0), (3, 200), (60, 900)])
def test_after_a_full_switch_a_version_that_always_fails_is_condemned_however_short_or_used_up_the_past_is(
    seconds: int, good: int
):
    traffic = Traffic(BLUE_GREEN)
    traffic.pass_by(seconds, (50, 0))
    traffic.begin()
    traffic.pass_by(good, (0, 0), (50, 0))
    assert "FAIL" not in traffic.values.values()
    traffic.pass_by(20, (0, 0), (50, 50))
    assert traffic.values["error-rate"] == "FAIL"


def test_after_a_full_switch_the_past_counts_through_a_restart():
    traffic = Traffic(BLUE_GREEN)
    traffic.pass_by(20, (50, 0))
    traffic.begin()
    traffic.pass_by(10, (0, 0), (50, 0))
    traffic.judging = Judging(traffic.rollout, json.loads(json.dumps(traffic.judging.to_plain())))
    traffic.pass_by(20, (0, 0), (50, 50))
    assert traffic.values["error-rate"] == "FAIL"


def test_where_nothing_is_known_of_the_old_version_only_what_fails_most_of_the_time_is_condemned():
    for errors, is_bad in ((20, False), (50, True)):
        traffic = Traffic(BLUE_GREEN)
        traffic.begin()
        traffic.pass_by(60, (0, 0), (50, errors))
        assert (traffic.values["error-rate"] == "FAIL") == is_bad


def test_seconds_of_the_old_version_that_are_complete_only_after_the_switch_are_known():
    traffic = Traffic(BLUE_GREEN)
    traffic.pass_by(30, (50, 0), looks=False)
    traffic.begin()
    traffic.pass_by(60, (0, 0), (50, 20))
    assert traffic.values["error-rate"] == "FAIL"


@pytest.mark.parametrize("history", [3, 30])
def test_after_a_full_switch_a_version_that_fails_as_often_as_the_old_one_is_not_condemned(history: int):
    chance, condemned = random.Random(1), 0
    for _ in range(RUNS):
        judge = Judge(Terms(latency=None), [(n, some(chance)) for n in range(history)])
        judge.begin_step(1.0, None)
        judgements = [judge.take(second, EMPTY, some(chance)) for second in range(history, history + 300)]
        condemned += judgements[-1].verdicts[0].value == "FAIL"
    assert condemned == 0


def some(chance: random.Random) -> Bucket:
    """A second with 20 requests, of which 2 % fail."""
    return Bucket(20, sum(chance.random() < 0.02 for _ in range(20)))


def test_an_outage_of_both_is_told():
    traffic = Traffic()
    traffic.pass_by(60, (100, 0))
    traffic.begin()
    traffic.pass_by(40, (90, 0), (10, 0))
    traffic.pass_by(10, (90, 40), (10, 4))
    outage = traffic.judging.outage
    assert outage is not None
    assert "FAIL" not in traffic.values.values()


def test_a_new_trial_has_a_new_judge():
    traffic = Traffic()
    traffic.pass_by(60, (100, 0))
    traffic.begin()
    traffic.pass_by(15, (90, 0), (10, 10))
    traffic.world.rollout = replace(traffic.rollout, judged_since=float(traffic.now))
    traffic.pass_by(2, (90, 0), (10, 0))
    assert traffic.values["error-rate"] != "FAIL"


@pytest.mark.parametrize("settings", [SHORT, ROLLING])
def test_a_restart_changes_nothing(settings: str):
    traffic = Traffic(settings)
    traffic.pass_by(60, (100, 1))
    traffic.begin()
    traffic.pass_by(50, (90, 1), (10, 1))
    kept = json.loads(json.dumps(traffic.judging.to_plain()))
    before = traffic.judging
    traffic.judging = Judging(traffic.rollout, kept)
    traffic.pass_by(20, (90, 1), (10, 4))
    after, again = traffic.judging, Judging(traffic.rollout, kept)
    traffic.judging = before
    traffic.look()
    assert before.to_plain() == after.to_plain()
    assert before.verdicts == after.verdicts
    assert again.verdicts == ()


def test_there_is_nothing_to_keep_before_there_is_a_judge():
    assert Judging(World(CANARY).rollout).to_plain() is None


def test_an_answer_of_another_shape_is_an_error():
    traffic = Traffic()
    with pytest.raises(KeyError):
        traffic.judging.update(traffic.rollout, {"p": {"now": 3}}, 4.0, 0.0)
