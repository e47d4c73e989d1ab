"""Showing results: the table in the terminal, the plot, the progress line.

Owns: words and pictures. Must not: compute anything that `results` could.
"""

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtests.bench.faults import Invalid, Missing
from loadtests.bench.figures import Findings
from loadtests.bench.results import Comparison, Report, median_busy, median_ns, median_rate

_WIDTH = 120  # where no terminal says how wide it is, so that tables in files and logs stay whole
_SATURATED = 0.9  # below, a proxy had time to sleep, which costs it a wake-up for fewer requests
_PLOT_TYPES = (".png", ".svg", ".pdf")


class Progress:
    """One line on standard error: what is being measured, which of how many, and how long it will still take."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = total
        self._begun = 0
        self._started = time.monotonic()

    def __call__(self, what: str) -> None:
        """Say what is measured next."""
        done = self._begun
        self._begun += 1
        left = ""
        if done:
            seconds = (time.monotonic() - self._started) / done * (self._total - done)
            left = f", about {seconds:.0f} s left"
        self._write(f"measuring {self._begun} of {self._total}: {what}{left}")

    def say(self, what: str) -> None:
        """Say what is measured next, where it is not known how much there is."""
        self._write(f"measuring {what}")

    def end(self) -> None:
        """Take the line away again, so that the table stands alone."""
        if self._stream.isatty():
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _write(self, line: str) -> None:
        self._stream.write(f"\r\x1b[K{line}" if self._stream.isatty() else f"{line}\n")
        self._stream.flush()


def show_report(report: Report, console: Console) -> None:
    """Print the table and what belongs to it."""
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(f"[bold]{report.work.title}[/bold], {report.work.connections} connections")
    for name, value in report.surroundings.items():
        console.print(f"  {name}: {value}", highlight=False)
    console.print(f"  {report.ours_title}: {report.ours_build}", highlight=False)
    if report.comparisons:
        console.print(_table(report))
    for name, reason in report.missing.items():
        console.print(f"[yellow]missing[/yellow] {name}: {escape(reason)}", highlight=False)
    for reason in report.invalid.values():
        console.print(f"[red]invalid[/red] {escape(reason)}", highlight=False)
    for line in remarks(report):
        console.print(line, highlight=False)


def show_figure(title: str, found: Findings | Invalid, console: Console) -> None:
    """Print the table of a figure and what belongs to it, or why there is none."""
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(f"[bold]{title}[/bold]")
    if isinstance(found, Invalid):
        console.print(f"[red]invalid[/red] {escape(str(found))}", highlight=False)
        return
    table = Table()
    table.add_column("")
    for column in found.columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(row.title, *("" if value is None else _rounded(value) for value in row.values))
    console.print(table)
    for goal in found.goals:
        console.print(f"goal {'met' if goal.is_met else 'MISSED'}: {goal.text}", highlight=False)
    for note in found.notes:
        console.print(note, highlight=False)


def _rounded(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def remarks(report: Report) -> list[str]:
    """What is to be said below the table: which goals are met, and which proxies were not the limit."""
    lines = []
    for each in report.comparisons:
        if each.goal is not None:
            word = "met" if each.is_goal_met else "MISSED"
            goal = f"{report.ours_title} ≤ {each.goal} × {each.title}"
            lines.append(f"goal {word}: {goal}, measured {each.ratio:.2f} ×")
    rows = [(each.title, median_busy(each.peers)) for each in report.comparisons]
    rows += [(f"{report.ours_title} against {each.title}", median_busy(each.ours)) for each in report.comparisons]
    idle = [f"{title} {busy:.0%}" for title, busy in rows if busy < _SATURATED]
    if idle:
        lines.append(f"part of the core used, where the load or other programs were the limit: {', '.join(idle)}")
    return lines


def check_plot(path: Path) -> None:
    """Find out before the measurements whether a plot can be written after them.

    Raises:
        Missing: matplotlib is not installed, or the file's name does not end in a known type.
    """
    if path.suffix not in _PLOT_TYPES:
        raise Missing(f"{path}: a plot is written as {', '.join(_PLOT_TYPES)}; name the file so")
    _pyplot()


def write_plot(reports: Sequence[Report], path: Path) -> None:
    """One picture per work, one row per proxy: a bar for the median and a dot for each measurement."""
    pyplot = _pyplot()
    drawn = [report for report in reports if report.comparisons]
    rows = sum(1 + len(report.comparisons) for report in drawn)
    figure, all_axes = pyplot.subplots(
        len(drawn), figsize=(8, 1.2 * len(drawn) + 0.45 * rows), layout="constrained", squeeze=False
    )
    for report, axes in zip(drawn, all_axes[:, 0], strict=True):
        _draw(report, axes)
    figure.savefig(path)
    pyplot.close(figure)


def _draw(report: Report, axes: Any) -> None:
    ours = [each for comparison in report.comparisons for each in comparison.ours]
    rows = [(report.ours_title, ours), *((each.title, each.peers) for each in report.comparisons)]
    rows.sort(key=lambda row: median_ns(row[1]), reverse=True)
    for height, (title, measurements) in enumerate(rows):
        color = "tab:orange" if title == report.ours_title else "tab:blue"
        micros = [each.ns_per_request / 1000 for each in measurements]
        axes.barh(height, median_ns(measurements) / 1000, color=color, alpha=0.6)
        axes.plot(micros, [height] * len(micros), "o", color="black", markersize=3, alpha=0.5)
    place = report.surroundings
    axes.set_yticks(range(len(rows)), [f"{title}  {median_ns(measured) / 1000:.1f} µs" for title, measured in rows])
    axes.set_xlabel("processor time per request, µs (bar: median, dots: measurements)")
    axes.set_title(f"{report.work.title}\n{place['processor']}, {place['date']}, {place['commit']}", fontsize=9)


def _table(report: Report) -> Table:
    table = Table(title="processor time per request: medians; ratio: ours ÷ theirs, median of the pairs (range)")
    for heading in ("proxy", "build"):
        table.add_column(heading)
    for heading in ("theirs µs", "ours µs", "ratio", "goal", "theirs req/s", "ours req/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for comparison in report.comparisons:
        table.add_row(*_cells(comparison))
    return table


def _cells(comparison: Comparison) -> list[str]:
    ratios = comparison.ratios
    return [
        comparison.title,
        str(comparison.build),
        f"{median_ns(comparison.peers) / 1000:.1f}",
        f"{median_ns(comparison.ours) / 1000:.1f}",
        f"{comparison.ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        "" if comparison.goal is None else f"≤ {comparison.goal}",
        f"{median_rate(comparison.peers):,.0f}",
        f"{median_rate(comparison.ours):,.0f}",
    ]


def _pyplot() -> Any:
    """matplotlib's plotting module, drawing to files only."""
    try:
        importlib.import_module("matplotlib").use("Agg")
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as exc:
        raise Missing("a plot needs matplotlib: pip install matplotlib, or leave --plot out") from exc
