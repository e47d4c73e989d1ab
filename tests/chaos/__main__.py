"""`make chaos`: every fault of docs/failure-modes.md, by the tests that its table names, and a table of the results.

`python -m tests.chaos [--long] [ROW...]` plays all rows, or some by their numbers; with --long in the form that is
recorded there. Ends with 1 when a test failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import pytest
from rich.console import Console
from rich.table import Table

from tests.support.failure_modes import ROOT, Mode, read_modes

#: From the best to the worst: a row is as good as its worst test.
WORDS: Final = ("passed", "skipped", "failed")


class Collected:
    """What pytest found: the worst outcome and the seconds of each test, by its name without parameters."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one step of one test."""
        name = report.nodeid.partition("[")[0]
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        worst = max(self.outcomes.get(name, WORDS[0]), report.outcome, key=WORDS.index)
        self.outcomes[name] = worst


def _shown(modes: Sequence[Mode], found: Collected) -> Table:
    table = Table("row", "fault", "tests", "seconds", "result", title="Faults and what Serinus did with them")
    for mode in modes:
        outcomes = [found.outcomes.get(test, "failed") for test in mode.tests]
        result = max(outcomes, key=WORDS.index, default="not run")
        seconds = sum(found.seconds.get(test, 0.0) for test in mode.tests)
        table.add_row(mode.row, mode.fault, str(len(mode.tests)), f"{seconds:.0f}", result)
    return table


def main(arguments: Sequence[str]) -> int:
    """Play the faults; 1 when a test failed."""
    if "--long" in arguments:
        os.environ["SERINUS_LONG"] = "1"
    rows = {argument for argument in arguments if not argument.startswith("-")}
    modes = [mode for mode in read_modes() if not rows or mode.row in rows]
    if not modes:
        print(f"no such row: {', '.join(sorted(rows))}; docs/failure-modes.md has their numbers", file=sys.stderr)
        return 2
    tests = list(dict.fromkeys(test for mode in modes for test in mode.tests))
    found = Collected()
    code = pytest.main([f"--rootdir={ROOT}", "-p", "no:xdist", *tests], plugins=[found])
    Console().print(_shown(modes, found))
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
