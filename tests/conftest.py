"""What every test may use. Fixtures of one package belong into the conftest.py of its folder."""

from collections.abc import Callable

import pytest
from hypothesis import settings

from tests.support import tools

# No test asserts a time: an example that is slow on a busy machine is not a failure.
settings.register_profile("serinus", deadline=None, print_blob=True)
settings.load_profile("serinus")


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str, str], str]:
    """`require_tool("nginx", "nginx-light")` is its path, or the test is skipped (see tests/support/tools.py)."""
    return tools.require_tool
