"""Tests that need rights of the superuser."""

import os

from tests.support.tools import do_without


def require_root() -> None:
    """Go on as root only; else the test is skipped, or fails where every test must run (tests/support/tools.py)."""
    if os.geteuid() != 0:
        do_without("this needs root: run the tests as root, or in the container image")
