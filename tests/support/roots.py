"""Tests that need rights of the superuser."""

import os

import pytest


def require_root() -> None:
    """Go on as root only; else the test is skipped, or fails where SERINUS_REQUIRE_ALL=1 is set."""
    if os.geteuid() != 0:
        message = "this needs root: run the tests as root, or in the container image"
        if os.environ.get("SERINUS_REQUIRE_ALL") == "1":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
