"""What `serinus demo` shows on a terminal: a picture that changes in place, and the summary below it.

Owns the picture. Must not start, ask or count anything. Colour only repeats what the text says.

What is shown depends on the height: the events get the lines that nothing else needs, and what runs where and what to
try are left out where there is no room.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.controller import DecisionStatus, RolloutStatus, Verdict
from cli.demo_ending import Ending
from cli.demo_story import Happening, Scene
from cli.demo_view import View
from cli.demo_words import moved, places, things_to_try
from cli.rollout_words import place_in_words
from cli.words import duration, percent, rate
from loadtests.demo.configuration import NEW, OLD, SERVICE
from loadtests.demo.stage import Stage
from loadtests.demo.traffic import Recent

_LEAST_EVENTS: Final = 2
_TALL: Final = 28  # lines from which on verdicts may have so many
_LONG_VERDICT: Final = 2
_MARKS: Final = {"PASS": ("✔", "green"), "FAIL": ("✘", "red"), "INCONCLUSIVE": ("…", "yellow")}
_EVENT_STYLES: Final = {
    **dict.fromkeys(("break", "breaker", "failed", "turned_back", "restored", "aborted"), "red"),
    **dict.fromkeys(("froze", "retreated", "held", "paused", "overstayed"), "yellow"),
    **dict.fromkeys(("completed", "thawed", "mend"), "green"),
}
_PHASE_STYLES: Final = {"promoted": "bold green", "rolled_back": "bold red", "rolling_back": "red"}
_STANDING: Final = {"paused": "yellow", "holding": "yellow", "frozen": "yellow"}


class LiveView(View):
    """The picture."""

    interval = 0.25

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._live = Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def tell(self, happening: Happening) -> None:
        """Nothing: the scene has it."""

    def show(self, scene: Scene) -> None:
        """Draw the picture anew."""
        size = self._live.console.size
        self._live.update(draw(scene, self._stage, size.width, size.height - 1), refresh=True)

    def end(self, ending: Ending) -> None:
        """Leave the last picture, with the summary below."""
        size = self._live.console.size
        self._live.update(draw(ending.scene, self._stage, size.width, size.height - 1, is_last=True), refresh=True)
        self._live.stop()
        first, *others = ending.sentences()
        style = {"promoted": "green", "rolled_back": "red"}.get(ending.result, "yellow")
        self._live.console.print(Text(first, f"bold {style}"))
        for sentence in others:
            self._live.console.print(Text(sentence))


def draw(scene: Scene, stage: Stage, width: int, height: int, *, is_last: bool = False) -> RenderableType:
    """The picture of a scene, at most `height` lines of at most `width` columns."""
    parts: list[list[RenderableType]] = [
        [_head(scene, width)],
        [*_strip(scene, stage.walk.weights, width)],
        [_versions(scene, width)],
        [*_evidence(scene, width, _LONG_VERDICT if height >= _TALL else 1)],
    ]
    lines = sum(len(part) for part in parts) + 2 + len(parts)  # a table has three; a blank is below each part
    below = [] if is_last else [*_commands(stage, width)]
    above = [*_places(stage, width)]
    room = height - lines - len(below) - len(above) - 2
    if room < _LEAST_EVENTS:
        below, room = [], room + len(below)
    if room < _LEAST_EVENTS:
        above, room = [], room + len(above)
    parts[0] += above
    parts.append([*_events(scene.events, max(room, _LEAST_EVENTS), width, is_padded=not is_last)])
    if below:
        parts.append(below)
    return Group(*(line for part in parts for line in (*part, Text())))


def _head(scene: Scene, width: int) -> RenderableType:
    left = Text.assemble(("serinus demo", "bold"), f"   {SERVICE}: {OLD} → {NEW}   {rate(scene.rate)} req/s, ")
    failed = scene.tally.failed
    left.append(f"{failed:,} failed", "red" if failed else "green")
    minutes, seconds = divmod(int(scene.seconds), 60)
    right = f"{minutes}:{seconds:02d}   Ctrl-C ends it"
    return _fitted(left.append(" " * max(1, width - len(left) - len(right))).append(right, "dim"), width)


def _places(stage: Stage, width: int) -> Iterator[RenderableType]:
    """Where everything is."""
    short = {name: address.removeprefix("http://") for name, address, _ in places(stage)}
    words = f"users call {short[SERVICE]} · admin API {short['admin API']} · controller {short['controller']}"
    yield _fitted(Text(words, "dim"), width)
    for sentence in moved(stage):
        yield _fitted(Text(sentence, "dim"), width)


def _strip(scene: Scene, weights: Sequence[float], width: int) -> Iterator[RenderableType]:
    """The steps, and below them what is being waited for."""
    rollout, strip = scene.rollout, Text()
    for number, weight in enumerate(weights):
        mark, style = _step_mark(rollout, number)
        strip.append(" ━━━ " if number else "", "dim").append(f"{mark} {weight:g} %", style)
    if rollout is not None:
        strip.append(f"    {place_in_words(rollout)}", _PHASE_STYLES.get(rollout["phase"], "bold"))
    yield _fitted(strip, width)
    words = _waits(rollout, scene.now) if rollout else f"{OLD} has everything; the rollout starts in a moment"
    yield _fitted(Text(words), width)


def _waits(rollout: RolloutStatus, now: DecisionStatus | None) -> str:
    """What is being waited for, without the reason of a check that is shown anyway."""
    waits = rollout["waits"] or rollout["why"]
    for verdict in now["verdicts"] if now else ():
        if verdict["reason"] and waits == f"waits: {verdict['check']} {verdict['value']}: {verdict['reason']}":
            return f"waits for {verdict['check']} to be sure enough for the next step"
    return waits


def _step_mark(rollout: RolloutStatus | None, number: int) -> tuple[str, str]:
    if rollout is None or rollout["phase"] in ("pending", "preparing"):
        return "○", "dim"
    if rollout["phase"] in ("promoted", "finishing") or number < rollout["step"]:
        return "✔", "green"
    if number > rollout["step"]:
        return "○", "dim"
    if rollout["phase"] in ("rolling_back", "rolled_back"):
        return "✘", "bold red"
    if rollout["phase"] in _STANDING:
        return "‖", "bold yellow"
    return "●", "bold cyan"


def _versions(scene: Scene, width: int) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=False)
    table.add_column("", no_wrap=True)
    table.add_column(Text("share (│ target)", "dim"), no_wrap=True)
    for name in ("target", "actual", "answered", "failed", "p50", "p99"):
        table.add_column(Text(name, "dim"), justify="right", no_wrap=True, min_width=7)
    for version, style in ((OLD, "blue"), (NEW, "yellow")):
        recent, failed = scene.recent.get(version, Recent()), scene.tally.failed_by[version]
        target = scene.service["versions"][version]["target"] if scene.service else None
        table.add_row(
            Text(version, f"bold {style}"),
            _bar(scene.share(version), target, max(8, min(width - 70, 60)), style),
            percent(target),
            percent(round(share, 3) if (share := scene.share(version)) is not None else None),
            f"{scene.tally.answered[version]:,}",
            Text(f"{failed:,}", "red" if failed else ""),
            duration(recent.p50),
            duration(recent.p99),
        )
    return table


def _bar(share: float | None, target: float | None, width: int, style: str) -> Text:
    """The share as a bar, with a mark at the target."""
    filled = round((share or 0.0) * width)
    bar = Text()
    mark = None if target is None else min(round(target * width), width - 1)
    for place in range(width):
        is_filled = place < filled
        if place == mark:
            bar.append("│", "bold")
        else:
            bar.append("█" if is_filled else "░", style if is_filled else "dim")
    return bar


def _evidence(scene: Scene, width: int, lines: int) -> Iterator[RenderableType]:
    """The odds on the way to the line at which it is rolled back, and what each check says, in so many lines each."""
    verdicts = scene.now["verdicts"] if scene.now else []
    numbers = next((verdict["numbers"] for verdict in verdicts if "evidence" in verdict["numbers"]), None)
    if numbers is None:
        yield _fitted(Text("evidence   nothing to compare yet", "dim"), width)
    else:
        yield _fitted(_odds(numbers["evidence"], numbers["needed"], max(12, min(width - 65, 50))), width)
    for number in range(2):
        yield from _verdict(verdicts[number] if number < len(verdicts) else None, width, lines)


def _odds(evidence: float, needed: float, width: int) -> Text:
    """The evidence on a logarithmic scale, even odds in the middle, the line at the right end."""
    span = math.log(needed)
    place = (min(max(math.log(max(evidence, 1e-300)), -span), span) + span) / (2 * span)
    at = round(place * (width - 1))
    style = "red" if evidence >= needed else "yellow" if evidence >= needed / 10 else "green"
    line = Text.assemble((f"odds against {NEW} ", "dim"), (f"{_odds_in_words(evidence):<14}", style))
    line.append(f"  1 : {needed:,.0f} ", "dim")
    for each in range(width):
        line.append("●" if each == at else "┄", f"bold {style}" if each == at else "dim")
    return line.append("┃", "bold red").append(f" {needed:,.0f} : 1 rolls back", "dim")


def _odds_in_words(evidence: float) -> str:
    if evidence >= 1e6:
        return ">1,000,000 : 1"
    return f"{evidence:,.0f} : 1" if evidence >= 1 else f"1 : {min(1 / max(evidence, 1e-9), 1e6):,.0f}"


def _verdict(verdict: Verdict | None, width: int, lines: int) -> Iterator[RenderableType]:
    """What a check says, in exactly so many lines."""
    if verdict is None:
        yield from (Text() for _ in range(lines))
        return
    mark, style = _MARKS.get(verdict["value"], ("?", "yellow"))
    head = f"{mark} {verdict['check']:<11}"
    reason = textwrap.wrap(verdict["reason"], max(width - len(head), 20), max_lines=lines, placeholder=" …")
    for number in range(lines):
        words = reason[number] if number < len(reason) else ""
        yield _fitted(Text.assemble((head if number == 0 else " " * len(head), style), words), width)


def _events(events: Sequence[Happening], room: int, width: int, *, is_padded: bool) -> Iterator[RenderableType]:
    """The last events; blank lines for those to come, so that what is below stays where it is."""
    shown = events[-room:]
    for event in shown:
        text = Text(f"{event.at:5.1f} s  ", "dim").append(event.text, _EVENT_STYLES.get(event.kind, ""))
        yield _fitted(text, width)
    if is_padded:
        yield from (Text() for _ in range(room - len(shown)))


def _commands(stage: Stage, width: int) -> Iterator[RenderableType]:
    yield Text("In a second terminal:", "dim")
    commands = [*things_to_try(stage)]
    longest = max(len(command) for command, _ in commands)
    for command, purpose in commands:
        line = Text("  ").append(command, "cyan")
        if 2 + longest + 2 + len(purpose) <= width:
            line.append(" " * (longest - len(command) + 2)).append(purpose, "dim")
        yield _fitted(line, width)


def _fitted(text: Text, width: int) -> Text:
    """The text in one line."""
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text
