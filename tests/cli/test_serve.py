"""Running the proxy and the controller from the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.mark.parametrize("command", ["proxy", "controller", "up"])
def test_a_bad_file_starts_nothing(command: str, run: Run, tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_text("lisen: []\nservices: {}\n")
    result = run(command, "-c", str(path))
    assert (result.exit_code, "'listen'" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ["controller", "up"])
def test_a_proxy_that_nobody_can_call_has_to_be_named(command: str, run: Run, tmp_path: Path):
    path = tmp_path / "file.yaml"
    shop = "{versions: {stable: {endpoints: ['127.0.0.1:9001']}}}"
    path.write_text(
        f"listen: [{{address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\nservices: {{shop: {shop}}}\n"
    )
    result = run(command, "-c", str(path))
    assert (result.exit_code, "name the proxy in controller.proxies" in result.stderr) == (2, True)
