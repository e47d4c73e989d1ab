"""What the demonstration says: of decisions, of how it ended, of what to try."""

from typing import Any

import pytest

from cli.demo_ending import Ending
from cli.demo_story import Damage, Happening
from cli.demo_words import moved, things_to_try, words_of
from tests.cli.demo_scenes import scene, stage, verdict


def decision(event: str | None, sentence: str = "why", by: str = "", *verdicts: Any) -> Any:
    return {"n": 1, "wall": 0.0, "event": event, "sentence": sentence, "by": by, "verdicts": list(verdicts)}


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (None, ""),
        ("applied", ""),
        ("prepared", "10 % to canary"),
        ("advanced", "10 % to canary: why"),
        ("concluded", "everything to canary: why"),
        ("completed", "promoted: why"),
        ("failed", "failed: why"),
        ("turned_back", "rolls back: why"),
        ("froze", "promotion is frozen: why"),
    ],
)
def test_a_decision_is_said_in_plain_words(event: str | None, words: str):
    assert words_of(decision(event), 10) == words


def test_a_step_is_said_with_what_the_checks_found():
    check = verdict("error-rate", "PASS", "0 of 80 failed")
    check["numbers"] = {
        "new": {"requests": 80, "errors": 1, "p99": 0.0776},
        "old": {"requests": 7920, "errors": 0, "p99": None},
    }
    assert words_of(decision("advanced", "", "", check), 50) == (
        "50 % to canary: canary failed 1 of 80, p99 77.6 ms; stable failed 0 of 7,920, p99 -"
    )


def test_who_ordered_it_is_named_and_nothing_is_said_twice():
    assert words_of(decision("paused", "lunch", "alice"), 10) == "paused by alice: lunch"
    assert words_of(decision("turned_back", "5 of 20 failed"), 10, said="5 of 20 failed") == "rolls back"


def damage(name: str, failed_before: int = 0, taken_out: float | None = None) -> Damage:
    return Damage(name, 0.0, failed_before, new_before=2_000, taken_out=taken_out)


def summary(*args: Any, signal: int = 0, **more: Any) -> tuple[int, str]:
    ending = Ending(scene(*args, **more), 3.2, signal)
    assert ending.as_json()["exit_code"] == ending.exit_code
    return ending.exit_code, "\n".join(ending.sentences())


def test_a_promotion_is_good():
    events = (Happening(3.2, "started", ""), Happening(61.2, "completed", ""))
    assert summary("promoted", events=events) == (
        0,
        "Promoted after 58 s: canary has everything.\n"
        "Clients made 12,474 requests, 0 failed; canary answered 2,061, stable answered 10,413.\n"
        "Exit code 0, as a pipeline would get it.",
    )


def test_a_rollback_says_how_long_it_took_and_what_clients_saw():
    code, said = summary("rolled_back", failed=5, damage=damage("errors", taken_out=0.34))
    assert code == 1
    assert "Rolled back: canary got no requests any more 0.3 s after it broke." in said
    assert "5 failed (the last one: 500 Internal Server Error)" in said
    assert "Since the break, 5 failed." in said


@pytest.mark.parametrize(
    ("name", "failed", "words"),
    [
        ("crash", 0, "Since the break, none failed: what canary could not answer, stable did."),
        ("crash", 2, "Since the break, 2 failed."),
        ("latency", 0, "Since the break, 61 were answered slowly, by canary, and 0 failed."),
    ],
)
def test_what_a_break_has_done_is_said(name: str, failed: int, words: str):
    assert words in summary("rolled_back", failed=failed, damage=damage(name, taken_out=1.0))[1]


def test_an_outage_that_rolled_nothing_back_is_said():
    events = (Happening(20.0, "froze", ""),)
    code, said = summary("promoted", failed=7, damage=damage("outage"), events=events)
    assert code == 0
    assert "Since the break, 7 failed. Nothing was rolled back for it: promotion froze" in said


def test_what_did_not_end_is_no_promotion():
    assert summary("step")[0] == 1
    assert "Not over after 62 s: step 2 of 4 (stable 90 %, canary 10 %)." in summary("step")[1]
    code, said = summary("step", signal=2)
    assert (code, said.splitlines()[0]) == (
        130,
        "Stopped before the rollout ended: step 2 of 4 (stable 90 %, canary 10 %).",
    )


def test_commands_to_try_name_the_ports_that_are_not_the_usual_ones():
    usual = [command for command, _ in things_to_try(stage())]
    other = [command for command, _ in things_to_try(stage(controller=5, canary=6))]
    assert len(usual) == 3
    assert not any("--controller" in command for command in usual)
    assert sum("--controller 127.0.0.1:5" in command for command in other) == 2
    assert any("http://127.0.0.1:6/knobs" in command for command in other)


def test_ports_that_were_taken_are_told():
    assert list(moved(stage())) == []
    assert list(moved(stage(proxy=5))) == ["Ports that were taken, and replaced by free ones: 8080."]
