"""Where and when a benchmark ran: without this a number means nothing.

Owns: asking the system. Must not: fail; what cannot be found out is "unknown".
"""

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from loadtests.bench.children import Cores

_HERE = Path(__file__).parent


def surroundings(cores: Cores) -> dict[str, str]:
    """What belongs above every table of results."""
    if cores.are_shared:
        placed = f"only one core: proxy, load generator and backend share core {cores.proxy}"
    else:
        placed = f"proxy alone on core {cores.proxy}, load generator and backend on core {cores.load}"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "processor": _processor(),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": placed,
    }


def _commit() -> str:
    """The commit of the source tree, marked when files differ from it."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
        done = subprocess.run(command, cwd=_HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next(named, platform.machine() or "unknown")
