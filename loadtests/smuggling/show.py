"""Showing the matrix: a table for people, JSON for programs.

Owns: words, colours and signs. Must not: judge.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtests.smuggling.judge import Cell
from loadtests.smuggling.matrix import Column
from loadtests.smuggling.techniques.parts import Technique

_WIDTH = 140  # where no terminal says how wide it is
_LEGEND = (
    "✗ refused by us, no server got it (closed: unfinished, so without an answer).  → passed as one request, or as n "
    "where it is n by the rules and we saw each.  ‼ SMUGGLED: see below."
)


def show_matrix(
    techniques: Sequence[Technique],
    columns: Sequence[Column],
    missing: Mapping[str, str],
    console: Console,
    *,
    is_brief: bool = False,
) -> None:
    """Print the table, what it counts to, and every breach. `is_brief`: families instead of techniques."""
    if not console.is_terminal:
        console.width = _WIDTH
    table = Table(title="what came of each technique, by server", caption=_LEGEND, caption_justify="left")
    table.add_column("technique")
    for column in columns:
        table.add_column(f"{column.upstream.title}\n{column.version}", no_wrap=True)
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
    counts = [
        ("✗", "green", len(cells) - passed - smuggled),
        ("→", "cyan", passed),
        ("‼", "bold red", smuggled),
    ]
    return " ".join(f"[{colour}]{sign} {count}[/{colour}]" for sign, colour, count in counts if count)


def _shown(cell: Cell) -> str:
    if cell.is_smuggled:
        return "[bold red]‼ SMUGGLED[/bold red]"
    if cell.passed:
        return f"[cyan]→ {cell.text}[/cyan]"
    return f"[green]✗ {cell.text}[/green]"


def breaches(techniques: Sequence[Technique], columns: Sequence[Column]) -> list[str]:
    """Every breach as a line: server, technique, what happened."""
    return [
        f"SMUGGLED to {column.upstream.title} by {technique.family}: {technique.name}: {breach}"
        for column in columns
        for technique, cell in zip(techniques, column.cells, strict=True)
        for breach in cell.breaches
    ]


def summary(techniques: Sequence[Technique], columns: Sequence[Column]) -> str:
    """The last line."""
    cells = [cell for column in columns for cell in column.cells]
    counts = Counter("SMUGGLED" if cell.is_smuggled else "passed" if cell.passed else "refused" for cell in cells)
    met = sum(cell.is_met for cell in cells if cell.passed)
    return (
        f"{len(techniques)} techniques, {len(columns)} servers: {counts['refused']} refused, {counts['passed']} passed "
        f"as what they are, {counts['SMUGGLED']} SMUGGLED.\n"
        f"After {met} of those that passed, the next request came by the same connection to the server."
    )


def as_json(techniques: Sequence[Technique], columns: Sequence[Column], missing: Mapping[str, str]) -> str:
    """The same for programs."""
    servers = {column.upstream.title: column.version for column in columns}
    rows: list[dict[str, Any]] = [
        {
            "family": technique.family,
            "name": technique.name,
            "source": technique.source,
            "results": {column.upstream.title: _plain(column.cells[number]) for column in columns},
        }
        for number, technique in enumerate(techniques)
    ]
    smuggled = sum(cell.is_smuggled for column in columns for cell in column.cells)
    tree = {"servers": servers, "missing": dict(missing), "smuggled": smuggled, "techniques": rows}
    return json.dumps(tree, indent=2)


def _plain(cell: Cell) -> dict[str, Any]:
    outcome = "smuggled" if cell.is_smuggled else "passed" if cell.passed else "refused"
    return {"outcome": outcome, "status": cell.status, "requests": cell.passed, "breaches": list(cell.breaches)}
