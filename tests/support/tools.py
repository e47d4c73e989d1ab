"""Programs that tests run beside Serinus: nginx, curl, wrk, prometheus and the like.

Owns: finding them, and the one line that says how to get a missing one.
"""

import os
import shutil

import pytest

# Debian puts servers where an ordinary user's PATH does not look.
SERVER_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def require_tool(name: str, debian_package: str) -> str:
    """The path of a program; without it the test is skipped, or fails where SERINUS_REQUIRE_ALL=1 is set."""
    path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SERVER_FOLDERS]))
    if path is not None:
        return path
    message = f"{name} is missing; install it: apt-get install {debian_package}"
    if os.environ.get("SERINUS_REQUIRE_ALL") == "1":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
