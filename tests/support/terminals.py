"""The environment of a program on a pseudo terminal."""

from __future__ import annotations

import os
from collections.abc import Mapping


def on_a_terminal(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """This environment for a program whose terminal says its size: there, none must be said in its place."""
    return {**{name: text for name, text in environ.items() if name not in {"COLUMNS", "LINES"}}, "TERM": "xterm"}
