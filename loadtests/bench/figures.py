"""What is measured beside processor time: the shape that such a figure has, so that all are shown alike.

Owns: the values and the goals in words. Must not: measure or print.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from loadtests.bench.measure import Contender, Rig
from loadtests.bench.work import Work


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a figure: of whom or what, and a number for each column (None: there is none)."""

    title: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached. `is_met` is a result, not a judgement on the run."""

    text: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What a figure has found. `columns` name the values with their units; `notes` are said below the table."""

    columns: Sequence[str]
    rows: Sequence[Row]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: how it is called, what its proxies are configured for, and how it is measured."""

    name: str
    title: str
    work: Work
    measure: Callable[[Rig, Contender, Sequence[Contender], Callable[[str], None]], Findings]
    """Gets the rig, ourselves, the others, and whom to tell what is measured next.

    Raises:
        Invalid: something failed, so that there is no figure.
    """


def as_json(figure: Figure, findings: Findings) -> dict[str, Any]:
    """The findings as values that JSON can hold."""
    return {
        "figure": {"name": figure.name, "title": figure.title},
        "columns": list(findings.columns),
        "rows": [{"title": row.title, "values": list(row.values)} for row in findings.rows],
        "goals": [{"text": goal.text, "is_met": goal.is_met} for goal in findings.goals],
        "notes": list(findings.notes),
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ordered values lie (nearest rank)."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def middle(rows: Sequence[Sequence[float]]) -> list[float]:
    """The median of each column over several rounds."""
    return [median(column) for column in zip(*rows, strict=True)]
