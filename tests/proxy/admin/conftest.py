"""The admin API in this process, with its client, for the tests of this folder."""

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter

from proxy.admin.app import create_app
from tests.proxy.admin.fakes import FakeObservations, FakeSupervisor
from tests.proxy.admin.openapi_check import AnswerCheck
from tests.support.asking import Asking


@pytest.fixture
def supervisor() -> FakeSupervisor:
    return FakeSupervisor()


@pytest.fixture
def observations() -> FakeObservations:
    return FakeObservations()


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("serinus_requests", "Requests.", ["service"], registry=registry).labels("shop").inc(3)
    return registry


class Api(Asking):
    """Asks the API, and holds every answer against the API's own description."""


@pytest.fixture(scope="session")
def answer_check() -> AnswerCheck:
    return AnswerCheck()


@pytest.fixture
async def api(
    supervisor: FakeSupervisor,
    observations: FakeObservations,
    registry: CollectorRegistry,
    answer_check: AnswerCheck,
) -> AsyncIterator[Api]:
    app = create_app(supervisor, observations, registry, ping_seconds=0.01)
    async with TestClient(TestServer(app)) as client:
        yield Api(client, answer_check)
