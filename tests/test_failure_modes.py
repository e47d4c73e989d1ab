"""docs/failure-modes.md has every fault, and what it says is shown by tests that exist."""

import re

import pytest

from tests.support.failure_modes import ROOT, Mode, read_modes

MODES = read_modes()
FAULTS = range(1, 31)


def test_every_fault_has_a_row():
    assert {int(re.sub(r"\D", "", mode.row)) for mode in MODES} == {*FAULTS}


@pytest.mark.parametrize("mode", MODES, ids=[mode.row for mode in MODES])
def test_a_row_names_tests_that_exist(mode: Mode):
    assert mode.tests
    for test in mode.tests:
        path, _, name = test.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_every_test_of_a_fault_is_in_a_row():
    named = {test for mode in MODES for test in mode.tests}
    written = {
        f"tests/chaos/{path.name}::{name}"
        for path in (ROOT / "tests" / "chaos").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    assert written <= named
