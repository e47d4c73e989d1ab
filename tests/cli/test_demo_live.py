"""The picture of the demonstration: it fits into every terminal, and what it says can be read without colours."""

import pytest
from rich.console import Console

from cli.demo_live import draw
from cli.demo_story import Happening, Scene
from loadtests.demo.stage import Stage
from tests.cli.demo_scenes import before_the_start, scene, stage

EVENTS = tuple(Happening(float(number), "advanced", f"event {number} " + "x" * 300) for number in range(40))


def drawn(shown: Scene, width: int = 100, height: int = 30, where: Stage | None = None, **more: bool) -> list[str]:
    console = Console(width=width, height=height + 1, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(draw(shown, where or stage(), width, height, **more))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("shown", [before_the_start(), scene(events=EVENTS), scene("rolled_back", failed=1234)])
@pytest.mark.parametrize(("width", "height"), [(80, 23), (80, 30), (100, 29), (160, 49), (250, 80)])
@pytest.mark.parametrize("where", [stage(), stage(proxy=1, admin=2, controller=3)])
def test_it_fits(shown: Scene, width: int, height: int, where: Stage):
    lines = drawn(shown, width, height, where)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_it_shows_the_steps_the_shares_the_odds_and_what_to_try():
    text = "\n".join(drawn(scene()))
    assert "✔ 1 % ━━━ ● 10 % ━━━ ○ 50 % ━━━ ○ 100 %    step 2 of 4" in text
    assert "bakes: 3s of 5s" in text
    assert "90 %     90 %    10,413        0    40 ms    90 ms" in text
    assert "odds against canary 1 : 4 " in text
    assert "✔ error-rate 0 of 180 requests" in text
    assert " rollout why shop" in text


@pytest.mark.parametrize(
    ("phase", "strip"),
    [
        ("preparing", "○ 1 % ━━━ ○ 10 %"),
        ("step", "✔ 1 % ━━━ ● 10 %"),
        ("frozen", "✔ 1 % ━━━ ‖ 10 %"),
        ("holding", "✔ 1 % ━━━ ‖ 10 %"),
        ("rolling_back", "✔ 1 % ━━━ ✘ 10 %"),
        ("rolled_back", "✔ 1 % ━━━ ✘ 10 %"),
        ("promoted", "✔ 1 % ━━━ ✔ 10 %"),
    ],
)
def test_each_phase_has_its_mark(phase: str, strip: str):
    assert any(line.startswith(strip) for line in drawn(scene(phase)))


@pytest.mark.parametrize(
    ("evidence", "words"), [(0.0, "1 : 1,000,000"), (1.0, "1 : 1"), (43.0, "43 : 1"), (1e9, ">1,000,000 : 1")]
)
def test_odds_have_a_place_and_words_however_extreme(evidence: float, words: str):
    (line,) = [line for line in drawn(scene(evidence=evidence), width=80) if line.startswith("odds against canary")]
    assert line.count("●") == 1
    assert line.startswith(f"odds against canary {words} ")
    assert line.endswith("┃ 100 : 1 rolls back")


def test_what_a_check_says_is_not_said_twice():
    reason = scene().now["verdicts"][1]["reason"]  # type: ignore[index]
    lines = drawn(scene(waits=f"waits: latency INCONCLUSIVE: {reason}"))
    assert "waits for latency to be sure enough for the next step" in lines


def test_the_last_picture_has_nothing_to_try_any_more():
    assert not any("rollout why" in line for line in drawn(scene(), is_last=True))


def test_the_newest_events_are_shown():
    text = "\n".join(drawn(scene(events=EVENTS)))
    assert "event 39" in text
    assert "event 2 " not in text
