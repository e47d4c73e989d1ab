"""What several tests of faults stand on."""

from collections.abc import Iterator

import pytest

from tests.support.toxic_upstream import ToxicUpstreams, toxic_upstreams


@pytest.fixture(scope="module")
def upstreams() -> Iterator[ToxicUpstreams]:
    """One version, that fails as each request asks for."""
    with toxic_upstreams("v1") as running:
        yield running
