"""A whole canary, decided second by second."""

import itertools

import pytest

from controller.core.actions import SetSplit
from controller.core.model import Split
from controller.core.orders import Refused
from controller.core.outage import Outage
from tests.support.rollout_world import World

STEPS = ", ".join(f"{{weight: {weight}, bake: 60}}" for weight in (1, 10, 50, 100))
SHORT = f"strategy: canary, steps: [{STEPS}]"


def an_outage(**changes: object) -> Outage:
    usual = {"since": 0, "error_rate": 0.3, "after_increase": False, "lasted": 5, "new_is_better": False}
    return Outage(**{**usual, **changes})  # type: ignore[arg-type]


def at_step(step: int, settings: str = SHORT, proxies: int = 1) -> World:
    """A canary in this step, its clock running."""
    world = World(settings, proxies)
    while not (world.rollout.phase == "step" and world.rollout.step == step and world.rollout.runs_since):
        world.tick()
    return world


def test_a_good_canary_gets_every_step_after_its_bake_and_is_promoted():
    world = World(SHORT)
    world.until("promoted")
    assert world.kinds == ["created", "began", "prepared", "advanced", "advanced", "advanced", "concluded", "completed"]
    assert [split.weights["canary"] for split in world.splits] == [0, 1, 10, 50, 100, 100]
    advanced = [event.at for event in world.events if event.kind in ("prepared", "advanced", "concluded")]
    assert [later - earlier for earlier, later in itertools.pairwise(advanced)] == [61.0] * 4
    assert world.share() == 100


def test_nothing_is_timed_before_every_proxy_has_acknowledged():
    world = at_step(0, proxies=2)
    world.tick(times=58)
    world.lost = {"p1"}
    world.order("promote")
    world.tick(times=20)
    assert (world.rollout.step, world.rollout.elapsed(world.now)) == (1, 0)
    assert world.sentence.startswith("cannot judge: p1 does not answer")
    world.lost = set()
    world.tick(times=2)
    assert world.rollout.runs_since == world.now


def test_a_failed_check_takes_everything_from_the_new_version_at_once():
    world = at_step(1)
    world.verdicts["latency"] = "FAIL"
    world.tick()
    assert world.kinds[-2:] == ["failed", "turned_back"]
    assert world.share() == 0
    world.until("rolled_back")
    assert world.rollout.why == "latency: it is FAIL"
    assert world.rollout.failed == ("latency",)


def test_a_failure_stays_even_when_the_check_passes_again():
    world = at_step(1, SHORT + ", on: {fail: extend}")
    world.verdicts["latency"] = "FAIL"
    world.tick()
    world.verdicts["latency"] = "PASS"
    world.until("holding")
    assert world.rollout.why == "not enough is known after 3m: latency has failed"


@pytest.mark.parametrize("value", ["INCONCLUSIVE", "NO_DATA"])
def test_what_is_not_known_extends_the_step_and_then_holds_at_a_small_weight(value: str):
    world = at_step(2)
    world.verdicts["latency"] = value  # type: ignore[assignment]
    world.tick(times=100)
    assert (world.rollout.phase, world.rollout.step) == ("step", 2)
    assert world.sentence == f"waits: latency {value}: it is {value}"
    world.until("holding")
    world.tick()
    assert world.share() == 1
    assert world.rollout.why == f"not enough is known after 3m: latency {value}: it is {value}"


def test_silence_never_promotes_and_never_rolls_back_by_itself():
    world = World(SHORT + ", hold: {then: hold}")
    world.verdicts = dict.fromkeys(world.verdicts, "NO_DATA")
    world.until("holding")
    world.tick(60, times=200)
    assert world.rollout.phase == "holding"
    assert "turned_back" not in world.kinds


def test_a_hold_ends_in_a_rollback_when_nobody_decides():
    world = at_step(1, SHORT + ", hold: {investigate: 5m}")
    world.verdicts["latency"] = "INCONCLUSIVE"
    world.until("holding")
    began = world.now
    world.until("rolling_back")
    assert world.now - began == 300
    assert world.rollout.why.startswith("nobody has decided within 5m: not enough is known")


def test_a_hold_never_raises_the_weight():
    world = at_step(0, "strategy: canary, hold: {to: 5}, on: {fail: hold}")
    world.verdicts["latency"] = "FAIL"
    world.tick(times=3)
    assert (world.rollout.phase, world.share()) == ("holding", 1)


def test_a_resumed_hold_takes_the_step_again_and_judges_afresh():
    world = at_step(2, SHORT + ", on: {fail: hold}")
    world.verdicts["latency"] = "FAIL"
    world.tick(times=3)
    assert (world.rollout.phase, world.share()) == ("holding", 1)
    world.verdicts["latency"] = "PASS"
    world.order("resume", "a broken dashboard")
    assert (world.rollout.failed, world.rollout.judged_since) == ((), world.now)
    world.tick(times=3)
    assert (world.rollout.phase, world.rollout.step, world.share()) == ("step", 2, 50)
    assert world.rollout.why == "resumed by bob: a broken dashboard"


def test_the_check_that_failed_says_itself_what_follows():
    checks = "[{kind: error_rate}, {kind: signal, name: tickets, on_fail: hold}]"
    world = at_step(2, f"strategy: canary, checks: {checks}")
    world.verdicts["tickets"] = "FAIL"
    world.until("holding", most=1)
    world.verdicts["error-rate"] = "FAIL"
    world.until("rolled_back", most=2)


def test_a_paused_rollout_stays_where_it_is_but_is_still_judged():
    world = at_step(1)
    world.tick(times=30)
    world.order("pause", "lunch")
    world.tick(times=500)
    assert (world.rollout.phase, world.share(), world.sentence) == ("paused", 10, "paused: paused by bob: lunch")
    world.order("resume")
    world.tick(times=2)
    assert world.rollout.elapsed(world.now) == 30
    world.order("pause")
    world.verdicts["error-rate"] = "FAIL"
    world.tick()
    assert world.share() == 0


def test_promote_takes_the_next_step_or_all_of_them_at_once():
    world = at_step(0)
    world.order("promote")
    world.tick()
    assert world.share() == 10
    world.order("promote", all_steps=True)
    world.until("promoted", most=3)
    assert world.share() == 100


def test_a_manual_canary_waits_for_a_person_at_every_step_without_an_end():
    world = at_step(0, SHORT + ", promote: manual")
    world.tick(5, times=1000)
    assert (world.rollout.phase, world.rollout.step, world.sentence) == ("step", 0, "waits for a person: `promote`")


def test_a_timed_canary_needs_nothing_but_its_bake():
    world = World(SHORT + ", promote: time")
    world.verdicts = dict.fromkeys(world.verdicts, "NO_DATA")
    world.until("promoted")


def test_the_old_version_keeps_its_hold_back_during_the_last_bake():
    world = at_step(3, SHORT + ", hold_back: 2%")
    assert world.share() == 98
    world.until("promoted")
    assert world.share() == 100


def test_the_last_bake_asks_for_traffic_without_a_failure_since_it_exposes_nobody_further():
    world = at_step(3)
    world.verdicts["latency"] = "INCONCLUSIVE"
    world.until("promoted", most=70)


def test_errors_of_a_check_have_patience_and_then_hold():
    world = at_step(1)
    world.verdicts["latency"] = "ERROR"
    world.tick(times=29)
    assert world.rollout.phase == "step"
    world.verdicts["latency"] = "PASS"
    world.tick()
    world.verdicts["latency"] = "ERROR"
    began = world.now
    world.until("holding")
    assert world.now - began == 31
    assert world.rollout.why == "could not judge for 30s: latency: it is ERROR"


def test_a_proxy_that_is_silent_stops_every_step_forward_and_no_rollback():
    world = at_step(1, SHORT + ", on: {error: extend}", proxies=2)
    world.lost = {"p1"}
    world.tick(times=100)
    assert world.rollout.step == 1
    world.verdicts["latency"] = "FAIL"
    world.tick(times=3)
    assert (world.rollout.phase, world.share()) == ("rolling_back", 0)
    assert world.sentence == (
        "rolling back for 2s: waits until every proxy gives stable everything "
        "(p1 does not answer, for 1m42s now: connection refused)"
    )
    world.tick(60, times=100)
    assert world.rollout.phase == "rolling_back"
    world.lost = set()
    world.until("rolled_back", most=3)


def test_an_outage_of_both_versions_stops_the_clock_and_nothing_else():
    world = at_step(1)
    world.tick(times=30)
    world.outage = an_outage()
    world.tick(times=100)
    assert (world.rollout.phase, world.share(), world.rollout.elapsed(world.now)) == ("frozen", 10, 31)
    world.outage = None
    world.until("promoted")
    assert world.kinds[3:6] == ["advanced", "froze", "thawed"]


def test_an_outage_is_not_over_because_nobody_answers():
    """As after a restart of the controller, when nothing has been judged yet."""
    world = at_step(2)
    world.outage = an_outage(after_increase=True)
    world.tick(times=3)
    world.outage = None
    world.lost = {"p0"}
    world.tick(times=30)
    assert (world.rollout.phase, world.sentence) == ("frozen", "p0 does not answer, for 29s now: connection refused")
    world.lost = set()
    world.until("promoted")


def test_an_outage_that_the_new_version_may_have_caused_takes_it_out_and_begins_again():
    world = at_step(2)
    world.outage = an_outage(after_increase=True)
    world.tick(times=3)
    assert (world.rollout.phase, world.share()) == ("frozen", 0)
    world.outage = None
    world.tick(times=3)
    assert (world.rollout.phase, world.rollout.step, world.share()) == ("step", 0, 1)
    world.outage = an_outage(lasted=121)
    world.tick(times=3)
    assert (world.rollout.phase, world.share()) == ("holding", 1)
    assert world.rollout.why == "stable failed again when canary got traffic"


def test_a_new_version_that_is_better_than_a_failing_old_one_is_not_held_back():
    world = at_step(1)
    world.outage = an_outage(new_is_better=True)
    world.until("promoted")


@pytest.mark.parametrize("then", ["rollback", "advance", "hold"])
def test_a_split_that_is_not_as_it_says_keeps_a_step_from_ending_and_does_nothing_else(then: str):
    world = at_step(1, f"{SHORT}, on: {{inconclusive: {then}}}")
    world.verdicts["split"] = "INCONCLUSIVE"
    world.tick(times=100)
    assert (world.rollout.phase, world.rollout.step, world.rollout.failed) == ("step", 1, ())
    del world.verdicts["split"]
    world.until("promoted")


def test_too_many_answers_of_4xx_hold_and_do_not_roll_back():
    world = at_step(1, f"{SHORT}, checks: [{{kind: error_rate}}, {{kind: client_errors}}]")
    world.verdicts["client-errors"] = "FAIL"
    world.tick()
    assert (world.rollout.phase, world.rollout.failed) == ("holding", ("client-errors",))


def test_a_failure_during_an_outage_still_rolls_back():
    world = at_step(1)
    world.outage = an_outage()
    world.tick(times=3)
    world.verdicts["error-rate"] = "FAIL"
    world.until("rolled_back", most=3)


def test_the_breaker_of_a_proxy_is_a_failure_with_its_words():
    world = at_step(1)
    world.change_by_hand({"stable": 90, "canary": 0}, "breaker", "5 of its last 20 requests failed")
    world.until("rolled_back", most=3)
    assert world.rollout.why == "p0 has taken canary out: 5 of its last 20 requests failed"


def test_a_person_who_changes_the_split_pauses_the_rollout():
    world = at_step(1)
    world.change_by_hand({"stable": 95, "canary": 5}, reason="looks odd")
    world.tick(times=10)
    assert (world.rollout.phase, world.share()) == ("paused", 5)
    assert world.rollout.why == "carol changed the split at p0: looks odd"
    world.order("resume")
    world.tick()
    assert world.share() == 10


def test_a_proxy_that_was_set_up_anew_gets_its_split_again():
    world = at_step(1)
    world.tick(times=30)
    world.change_by_hand({"stable": 99, "canary": 1}, by="file")
    world.tick(times=2)
    assert (world.rollout.phase, world.share()) == ("step", 10)
    assert world.rollout.elapsed(world.now) == 31


@pytest.mark.parametrize("phase", ["pending", "preparing", "step"])
def test_nothing_moves_forward_while_it_is_blocked(phase: str):
    world = World(SHORT)
    if phase != "pending":
        world.until(phase)  # type: ignore[arg-type]
    step = world.rollout.step
    world.blocked = "the line is stopped by dave: incident"
    world.tick(5, times=100)
    assert (world.rollout.phase, world.rollout.step, world.sentence) == (phase, step, world.blocked)
    world.order("abort")
    world.tick(times=2)
    assert world.rollout.phase == "rolled_back"


def test_people_may_not_raise_the_weight_while_it_is_blocked():
    world = at_step(1, SHORT + ", on: {fail: hold}")
    world.blocked = "the line is stopped by dave: incident"
    with pytest.raises(Refused, match="so promote has to wait: the line is stopped by dave"):
        world.order("promote")
    world.order("pause")
    world.order("resume")
    world.verdicts["latency"] = "FAIL"
    world.tick()
    with pytest.raises(Refused, match="so resume has to wait"):
        world.order("resume")


def test_a_promoted_rollout_can_be_taken_back_until_it_is_sealed():
    world = World(SHORT + ", keep_old: 1h")
    world.until("promoted")
    world.tick(3000)
    world.order("abort", "sales fell")
    world.until("rolled_back", most=3)
    assert world.share() == 0
    world.order("retry")
    world.until("promoted")
    world.tick(3601)
    assert world.rollout.sealed
    with pytest.raises(Refused, match="stable is not kept for it any more"):
        world.order("abort")


def test_a_retry_is_a_new_attempt_that_deals_the_users_anew():
    world = at_step(1)
    first = world.rollout.salt
    world.order("abort")
    world.until("rolled_back")
    world.order("retry")
    decision = world.until("preparing")
    assert SetSplit(Split({"stable": 100.0, "canary": 0.0}), world.rollout.salt) in decision.actions
    assert len({first, world.rollout.salt, ""}) == 3
    assert (world.rollout.attempt, world.rollout.failed) == (2, ())


def test_time_that_nobody_watched_does_not_count():
    world = at_step(1)
    world.tick(times=10)
    world.tick(3600)
    assert world.rollout.elapsed(world.now) == 10
    assert world.kinds[-1] == "missed"


def test_a_check_before_the_first_step_has_to_pass_and_ends_it_when_it_fails():
    world = World("strategy: canary, checks: [{kind: exec, command: smoke, at: before}]")
    world.before["exec"] = "ERROR"
    world.tick(times=20)
    assert (world.rollout.phase, world.sentence) == ("preparing", "waits for exec: it is ERROR")
    world.before["exec"] = "FAIL"
    world.until("rolled_back", most=3)
    assert world.rollout.why == "exec: it is FAIL"
    assert {split.weights["canary"] for split in world.splits} == {0}


def test_a_new_version_without_a_usable_endpoint_is_waited_for_but_not_for_ever():
    world = World(SHORT + ", hold: {investigate: 5m}")
    world.set_endpoint("canary", "127.0.0.1:9005", healthy=False, detail="connection refused")
    world.tick(times=100)
    assert world.sentence == "waits for a usable endpoint of canary at p0: connection refused"
    world.until("rolled_back")
    assert world.rollout.why.startswith("was not ready within 5m: waits for a usable endpoint")


def test_a_rollout_that_cannot_begin_ends_without_touching_anything():
    world = World(SHORT)
    world.change_by_hand({"stable": 0, "canary": 100})
    world.tick()
    assert (world.rollout.phase, world.splits) == ("rolled_back", [])
    assert world.rollout.why == "stable gets no requests now, so there is nothing to roll out from"
