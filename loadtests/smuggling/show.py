"""Showing the matrix: a table for people, JSON for programs.

Owns: words, colours and signs. Must not: judge.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtests.smuggling.judge import Cell

_WIDTH = 140  # where no terminal says how wide it is
_LEGEND = (
    "✗ refused by us, no server got it (closed: unfinished, so without an answer).  → passed as one request, or as n "
    "where it is n by the rules and we saw each.  ‼ SMUGGLED: see below."
)
ANSWERS_TITLE = "what came of each answer, by client"
ANSWERS_LEGEND = (
    "✗ the client got 502, or saw the connection end before the answer did (closed).  → it got one whole answer, its "
    "own.  not played: takes interim answers for final ones, with and without a proxy.  ‼ SMUGGLED: see below."
)


class Named(Protocol):
    """A technique, whatever it sends."""

    @property
    def family(self) -> str:
        """What it plays on."""

    @property
    def name(self) -> str:
        """Unique within its family."""

    @property
    def source(self) -> str:
        """Who says so."""


class Shown(Protocol):
    """A column: a server or a client."""

    @property
    def title(self) -> str:
        """Its name."""

    @property
    def version(self) -> str:
        """Of it."""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """By technique, in their order."""


def show_matrix(
    techniques: Sequence[Named],
    columns: Sequence[Shown],
    missing: Mapping[str, str],
    console: Console,
    *,
    is_brief: bool = False,
    title: str = "what came of each technique, by server",
    legend: str = _LEGEND,
) -> None:
    """Print the table, what it counts to, and every breach. `is_brief`: families instead of techniques."""
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(title=title, caption=legend, caption_justify="left")
    table.add_column("technique")
    for column in columns:
        table.add_column(f"{column.title}\n{column.version}", no_wrap=True)
    for family in dict.fromkeys(technique.family for technique in techniques):
        rows = [number for number, technique in enumerate(techniques) if technique.family == family]
        if is_brief:
            cells = [_counted([column.cells[number] for number in rows]) for column in columns]
            table.add_row(escape(f"{family} ({len(rows)})"), *cells)
            continue
        table.add_section()
        for number in rows:
            cells = [_shown(column.cells[number]) for column in columns]
            table.add_row(escape(f"{family}: {techniques[number].name}"), *cells)
    console.print(table)
    for title, reason in missing.items():
        console.print(f"[yellow]missing[/yellow] {title}: {escape(reason)}", highlight=False)
    for line in breaches(techniques, columns):
        console.print(f"[red]{escape(line)}[/red]", highlight=False, soft_wrap=True)
    console.print(summary(techniques, columns), highlight=False, soft_wrap=True)


def _counted(cells: Sequence[Cell]) -> str:
    """How many of a family were refused, passed and smuggled."""
    smuggled = sum(cell.is_smuggled for cell in cells)
    passed = sum(cell.passed > 0 for cell in cells if not cell.is_smuggled)
    noted = sum(bool(cell.note) for cell in cells)
    counts = [
        ("✗", "green", len(cells) - passed - smuggled - noted),
        ("→", "cyan", passed),
        ("–", "yellow", noted),
        ("‼", "bold red", smuggled),
    ]
    return " ".join(f"[{colour}]{sign} {count}[/{colour}]" for sign, colour, count in counts if count)


def _shown(cell: Cell) -> str:
    if cell.is_smuggled:
        return "[bold red]‼ SMUGGLED[/bold red]"
    if cell.passed:
        return f"[cyan]→ {cell.text}[/cyan]"
    if cell.note:
        return f"[yellow]{cell.note}[/yellow]"
    return f"[green]✗ {cell.text}[/green]"


def breaches(techniques: Sequence[Named], columns: Sequence[Shown]) -> list[str]:
    """Every breach as a line: server, technique, what happened."""
    return [
        f"SMUGGLED to {column.title} by {technique.family}: {technique.name}: {breach}"
        for column in columns
        for technique, cell in zip(techniques, column.cells, strict=True)
        for breach in cell.breaches
    ]


def summary(techniques: Sequence[Named], columns: Sequence[Shown]) -> str:
    """The last line."""
    cells = [cell for column in columns for cell in column.cells if not cell.note]
    counts = Counter("SMUGGLED" if cell.is_smuggled else "passed" if cell.passed else "refused" for cell in cells)
    met = sum(cell.is_met for cell in cells if cell.passed)
    return (
        f"{len(techniques)} techniques, {len(columns)} columns: {counts['refused']} refused, {counts['passed']} passed "
        f"as what they are, {counts['SMUGGLED']} SMUGGLED.\n"
        f"After {met} of those that passed, the next request came by the same connection to the server."
    )


def as_tree(techniques: Sequence[Named], columns: Sequence[Shown], missing: Mapping[str, str]) -> dict[str, Any]:
    """The same for programs, to be written as JSON. Of answers, the clients are the servers."""
    servers = {column.title: column.version for column in columns}
    rows: list[dict[str, Any]] = [
        {
            "family": technique.family,
            "name": technique.name,
            "source": technique.source,
            "results": {column.title: _plain(column.cells[number]) for column in columns},
        }
        for number, technique in enumerate(techniques)
    ]
    smuggled = sum(cell.is_smuggled for column in columns for cell in column.cells)
    return {"servers": servers, "missing": dict(missing), "smuggled": smuggled, "techniques": rows}


def _plain(cell: Cell) -> dict[str, Any]:
    outcome = cell.note or ("smuggled" if cell.is_smuggled else "passed" if cell.passed else "refused")
    return {"outcome": outcome, "status": cell.status, "requests": cell.passed, "breaches": list(cell.breaches)}
