"""The units for systemd, as systemd reads them."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
KNOWS_NOTIFY_RELOAD = 253


def test_systemd_understands_every_line(require_tool: Callable[[str, str], str], tmp_path: Path):
    analyze = require_tool("systemd-analyze", "systemd")
    said = subprocess.run([analyze, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    found = re.search(r"systemd (\d+)", said)
    assert found
    for unit in sorted(UNITS.iterdir()):
        # Serinus is not installed there on this machine, and what the installed systemd does not know yet is not wrong.
        text = unit.read_text().replace("/opt/serinus/bin/serinus", sys.executable)
        if int(found[1]) < KNOWS_NOTIFY_RELOAD:
            text = text.replace("Type=notify-reload", "Type=notify")
        (tmp_path / unit.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    assert [unit.name for unit in units] == [
        "serinus-controller.service",
        "serinus-proxy.service",
        "serinus-proxy.socket",
    ]
    verified = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, units)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (verified.returncode, verified.stderr) == (0, "")
