"""Programs that tests run beside Serinus: nginx, curl, wrk, prometheus and the like.

Owns: finding them, the one line that says how to get a missing one, and what becomes of a test that misses something.
"""

import os
import shutil
from typing import NoReturn

import pytest

# Debian puts servers where an ordinary user's PATH does not look.
SERVER_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def require_tool(name: str, debian_package: str) -> str:
    """The path of a program; without it the test is skipped, or fails where SERINUS_REQUIRE_ALL=1 is set."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SERVER_FOLDERS]))
    if path is None:
        do_without(f"{name} is missing; install it: apt-get install {debian_package}")
    return path


def do_without(message: str) -> NoReturn:
    """Skip the test that misses something, or fail it where SERINUS_REQUIRE_ALL=1 is set."""
    if os.environ.get("SERINUS_REQUIRE_ALL") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
