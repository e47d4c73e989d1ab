"""The table of docs/failure-modes.md: the faults, and the tests that show what Serinus does about each.

Owns reading it. The page is the only list of them: what `make chaos` runs, and what people read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "failure-modes.md"
_ROW: Final = re.compile(r"^\| (\d+[a-z]?) \| ([^|]+) \|(.*)\|$", re.MULTILINE)
_TEST: Final = re.compile(r"`([\w/]+\.py)::(\w+)`")


@dataclass(frozen=True)
class Mode:
    """One row: its number, the fault, and the tests by their pytest names."""

    row: str
    fault: str
    tests: tuple[str, ...]


def read_modes() -> list[Mode]:
    """Every row of the table."""
    return [
        Mode(number, fault.strip(), tuple(f"tests/{path}::{test}" for path, test in _TEST.findall(rest)))
        for number, fault, rest in _ROW.findall(PAGE.read_text(encoding="utf-8"))
    ]
