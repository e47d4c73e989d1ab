"""What every test may use. Fixtures of one package belong into the conftest.py of its folder."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import tools
from tests.support.long_forms import long_or

# No test asserts a time: an example that is slow on a busy machine is not a failure.
settings.register_profile("serinus", deadline=None, print_blob=True, max_examples=long_or(25, 1000))
settings.load_profile("serinus")


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str, str], str]:
    """`require_tool("nginx", "nginx-light")` is its path, or the test is skipped (see tests/support/tools.py)."""
    return tools.require_tool


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests may take long, as their limits say: the last file to end is a short one."""
    allowed: Counter[Path] = Counter()
    for item in items:
        if (limit := item.get_closest_marker("timeout")) is not None:
            allowed[item.path] += limit.args[0]
    items.sort(key=lambda item: -allowed[item.path])
