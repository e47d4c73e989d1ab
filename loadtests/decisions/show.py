"""Showing the results: the table in the terminal, the plots, the progress line.

Owns words and pictures. Must not compute what `results` could.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

from rich.console import Console
from rich.table import Table as Grid

from loadtests.decisions.efficiency import Efficiency
from loadtests.decisions.results import Cell, Table, Target
from loadtests.decisions.worlds import Case

_LEGEND: Final = """\
Whole rollouts on simulated traffic. Every rule meets the same worlds: services with an old and a new version.
  good versions  0/40, 252 s: of 40 rollouts none was rolled back; the others had everything after 252 s (median)
  bad versions   13 s, 6.4 ±0.3: gone after 13 s (median), having spoiled 6.4 requests more than the old version would
                 have, give or take 0.3 (95 %); "slow" counts all requests that it was sent until then
                 5% missed: of the rollouts, so many gave a bad version everything; held: neither that nor a rollback
Serinus without warm-up begins to count at once. Bare, it also looks at errors alone and does without the guard against
bad seconds: so the design measured it, and set its targets. Both are there to compare; what ships is plain "Serinus".
The oracle knows both versions exactly and stays on 1 %: nobody can spoil fewer requests at that certainty.
"""
_TOO_OFTEN: Final = 0.01  # good versions rolled back
_WIDTH: Final = 200  # where no terminal says how wide it is
_COLOURS: Final = {"stretch": "green", "reached": "green", "missed": "red"}


class Progress:
    """One line on standard error: how much is done, and how long the rest will take."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = total
        self._done = 0
        self._started = time.monotonic()

    def __call__(self, what: str) -> None:
        """Something is done."""
        self._done += 1
        left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
        line = f"{self._done} of {self._total}, about {left:.0f} s left; last: {what}"
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{line}")
        elif self._done == self._total or self._done % max(1, self._total // 20) == 0:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def end(self) -> None:
        """Take the line away again, so that the table stands alone."""
        if self._stream.isatty():
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def show_rollouts(console: Console, cases: Sequence[Case], rules: Sequence[str], table: Table) -> None:
    """Print the table of all worlds and rules."""
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(_LEGEND, highlight=False)
    grid = Grid()
    grid.add_column("world", no_wrap=True)
    for rule in rules:
        grid.add_column(rule, justify="right")
    for is_good, title in ((True, "good versions"), (False, "bad versions")):
        grid.add_section()
        grid.add_row(f"[bold]{title}[/bold]")
        for case in cases:
            if case.is_good is is_good:
                cells = (table[case.name].get(rule) for rule in rules)
                grid.add_row(case.name, *(_written(case, cell) for cell in cells))
    console.print(grid)


def _written(case: Case, cell: Cell | None) -> str:
    if cell is None:
        return ""
    seconds = f"{cell.time:.0f} s" if cell.time is not None else "never"
    if case.is_good:
        colour = "red" if cell.rolled_back / cell.runs > _TOO_OFTEN else "default"
        return f"[{colour}]{cell.rolled_back}/{cell.runs}[/], {seconds}"
    if not cell.rolled_back:
        return "[red]missed[/red]" if cell.promoted else "held"
    margin = f" ±{_amount(cell.margin)}" if cell.margin is not None else ""
    cost = f"{_amount(cell.excess or 0.0)}{margin}" if case.metric == "errors" else f"{cell.exposed:,.0f} slow"
    missed = f" [red]{cell.promoted / cell.runs:.0%} missed[/red]" if cell.promoted else ""
    return f"{seconds}, {cost}{missed}"


def _amount(requests: float) -> str:
    return f"{requests:,.0f}" if requests >= 100 else f"{requests:.1f}"


def show_efficiency(console: Console, title: str, rows: Sequence[Efficiency]) -> None:
    """Print what decisions took on one weight."""
    grid = Grid(title=title, title_justify="left")
    grid.add_column("")
    for name in ("bound", "oracle", "ours", "/ bound", "/ oracle", "guarded / oracle", "median", "p95"):
        grid.add_column(name, justify="right")
    for row in rows:
        grid.add_row(
            row.name,
            *(f"{requests:.1f}" for requests in (row.bound, row.oracle, row.ours)),
            *(f"{row.ours / other:.2f}" for other in (row.bound, row.oracle)),
            f"{row.guarded / row.oracle:.2f}",
            *(f"{seconds:.0f} s" for seconds in (row.median, row.p95)),
        )
    console.print(grid)


def show_targets(console: Console, rows: Sequence[Target]) -> None:
    """Print the targets."""
    grid = Grid(title="Targets", title_justify="left")
    for name in ("", "target (stretch)", "measured", ""):
        grid.add_column(name)
    for row in rows:
        colour = _COLOURS[row.status]
        grid.add_row(row.what, row.target, row.measured, f"[{colour}]{row.status}[/{colour}]")
    console.print(grid)


def write_plots(path: Path, cases: Sequence[Case], rules: Sequence[str], table: Table) -> None:
    """Draw false rollbacks of good versions and costs of bad ones, as one picture.

    Raises:
        OSError: it cannot be written.
    """
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    good = [case.name for case in cases if case.is_good]
    bad = [case.name for case in cases if not case.is_good and case.metric == "errors"]
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(15, 0.45 * max(len(good), len(bad)) + 2), layout="constrained"
    )
    for place, rule in enumerate(rules):
        marker = "o" if rule.startswith("Serinus") else "x"
        offset = 0.6 * (place / max(len(rules) - 1, 1) - 0.5)
        for axes, names, value in ((left, good, _share), (right, bad, _excess)):
            points = [(value(table[name][rule]), i + offset) for i, name in enumerate(names) if rule in table[name]]
            drawn = [(x, y) for x, y in points if x is not None]
            axes.scatter([x for x, _ in drawn], [y for _, y in drawn], marker=marker, label=rule)
    left.axvline(0.01, color="grey", linestyle=":")
    right.set_xscale("symlog", linthresh=1)
    for axes, names, title in (
        (left, good, "good versions rolled back, share"),
        (right, bad, "bad versions: failed requests too many until the rollback"),
    ):
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_title(title)
        axes.grid(axis="x", alpha=0.3)
    right.legend()
    figure.savefig(path)
    pyplot.close(figure)


def _share(cell: Cell) -> float | None:
    return cell.rolled_back / cell.runs


def _excess(cell: Cell) -> float | None:
    return cell.excess
