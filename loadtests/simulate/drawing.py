"""The result for people: a table and sentences for the terminal, and a picture.

Owns columns, colours and the picture. Must not compute what `summary` could. Colour only repeats what the text says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from html import escape
from typing import Final

from rich.console import RenderableType
from rich.table import Table as Grid
from rich.text import Text

from loadtests.decisions.rules.policy import JUDGED
from loadtests.simulate.running import OURS, Table, Task
from loadtests.simulate.summary import Cell, cell_in_words, in_short, percent, verdict_in_words

_CAPTION: Final = "time until it is stopped, and bad requests until then: median (95 of 100 are below)"
_COLOURS: Final = ("#1b7837", "#762a83", "#9970ab", "#b35806", "#e08214")
_LINE: Final = 15.0  # pixels
_LEFT: Final = 260.0
_WIDE: Final = 560.0


def draw(task: Task, table: Table) -> RenderableType:
    """The table."""
    traffic = task.traffic
    title = f"{task.service}: {traffic.rate:g} requests per second, {percent(traffic.errors)} errors now"
    grid = Grid(title=title, caption=_CAPTION, title_justify="left", caption_justify="left", show_lines=True)
    grid.add_column("new version")
    rules = list(next(iter(table.values())))
    for rule in rules:
        grid.add_column(rule, style="bold" if rule == OURS else "")
    for scenario, row in table.items():
        grid.add_row(scenario, *(Text(cell_in_words(cell), style=_style(cell)) for cell in row.values()))
    return grid


def sentences(task: Task, table: Table) -> Iterator[str]:
    """What it means, in plain language."""
    yield f"With this policy, in {task.runs} simulated rollouts each (bounds hold with a confidence of 95 %):"
    for scenario, row in table.items():
        yield f"- {verdict_in_words(scenario, row[OURS])}"
    good = [row[OURS] for row in table.values() if row[OURS].is_good]
    if any(cell.causes.get("breaker") for cell in good):
        yield (
            "The breaker in the proxy took a good version out. It counts failed requests and knows no bursts: raise "
            "its `fails` and `window`, or switch it off."
        )
    rollout = task.policy().created().policy
    yield (
        f"The evidence alone rolls back a good version in at most {percent(rollout.alpha)} of all rollouts; that is "
        "proven, and needs no simulation."
    )
    outside = [check.name for check in rollout.checks if check.kind not in JUDGED]
    if outside:
        yield f"Taken as passed, since nobody can simulate them: {', '.join(outside)}."
    yield f"The rollout takes {in_short(task.policy().shortest)} at least. More --runs make the bounds narrower."


def _style(cell: Cell) -> str:
    if cell.wrong:
        return "red" if cell.bound > 0.05 and cell.wrong > 0.02 * cell.runs else "yellow"
    return "green"


def picture(task: Task, table: Table) -> str:
    """An SVG: how often each rule was wrong, and what bad versions cost."""
    rules = list(next(iter(table.values())))
    bad = {name: row for name, row in table.items() if not all(cell.bad is None for cell in row.values())}
    most = max((cell.bad.p95 for row in bad.values() for cell in row.values() if cell.bad), default=1.0)
    parts: list[str] = []
    y = 30.0
    y = _panel(parts, y, "wrong ends (a good version rolled back, a bad one promoted)", table, _wrong)
    y = _panel(parts, y, "bad requests until it was stopped, median", bad, _cost(most))
    for number, rule in enumerate(rules):
        parts.append(f'<rect x="10" y="{y:.0f}" width="12" height="10" fill="{_COLOURS[number % len(_COLOURS)]}"/>')
        parts.append(f'<text x="28" y="{y + 9:.0f}">{escape(rule)}</text>')
        y += _LINE
    width, height = _LEFT + _WIDE + 130, y + 10
    title = f"{task.service}, {task.traffic.rate:g} requests per second, {task.runs} rollouts each"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="18" font-size="14">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )


def page(task: Task, table: Table) -> str:
    """The picture and the sentences as a page that needs nothing else."""
    lines = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(task, table))
    return (
        '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Serinus: simulated rollouts</title>'
        f"<body>{picture(task, table)}{lines}</body></html>\n"
    )


_Measure = Callable[[Cell], tuple[float, str]]
"""How long the bar of a cell is, from 0 to 1, and what stands beside it."""


def _wrong(cell: Cell) -> tuple[float, str]:
    return cell.wrong / cell.runs, f"{cell.wrong} of {cell.runs}"


def _cost(most: float) -> _Measure:
    def measure(cell: Cell) -> tuple[float, str]:
        if cell.bad is None:
            return 0.0, "never sees it"
        return math.log1p(cell.bad.median) / math.log1p(max(most, 1.0)), f"{cell.bad.median:,.0f}"

    return measure


def _panel(parts: list[str], y: float, title: str, rows: Table, measure: _Measure) -> float:
    """Draw one group of bars a row; gives where the next thing can begin."""
    if not rows:
        return y
    parts.append(f'<text x="10" y="{y + 14:.0f}" font-weight="bold">{escape(title)}</text>')
    y += 24
    for name, row in rows.items():
        parts.append(f'<text x="10" y="{y + 11:.0f}">{escape(name)}</text>')
        for number, cell in enumerate(row.values()):
            length, words = measure(cell)
            colour = _COLOURS[number % len(_COLOURS)]
            parts.append(
                f'<rect x="{_LEFT}" y="{y:.0f}" width="{max(_WIDE * length, 1):.1f}" height="11" fill="{colour}"/>'
                f'<text x="{_LEFT + _WIDE * length + 5:.1f}" y="{y + 10:.0f}">{escape(words)}</text>'
            )
            y += _LINE - 2
        y += 8
    return y + 10
