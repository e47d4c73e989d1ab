"""Running the proxy from the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.mark.parametrize("command", ["proxy", "up"])
def test_a_bad_file_starts_nothing(command: str, run: Run, tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_text("lisen: []\nservices: {}\n")
    result = run(command, "-c", str(path))
    assert (result.exit_code, "'listen'" in result.stderr) == (2, True)
