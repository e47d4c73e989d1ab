"""The JSON access log of a proxy under test, read when it is written."""

import json
from pathlib import Path
from typing import Any

from tests.support.waiting import until


async def access_lines(path: Path, count: int) -> list[dict[str, Any]]:
    """The lines, as soon as there are so many."""
    await until(lambda: len(_lines(path)) >= count)
    return [json.loads(line) for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    """The lines that are whole."""
    return path.read_text().split("\n")[:-1] if path.exists() else []
