"""The admin API in this process, with its client, for the tests of this folder."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter
from yarl import URL

from proxy.admin.app import create_app
from tests.proxy.admin.fakes import FakeObservations, FakeSupervisor
from tests.proxy.admin.openapi_check import AnswerCheck


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


class Api:
    """Asks the API, and holds every answer against the API's own description."""

    def __init__(self, client: TestClient[Any, Any], check: AnswerCheck) -> None:
        self.client = client
        self._check = check

    async def ask(self, method: str, path: str, **more: Any) -> tuple[ClientResponse, Any]:
        """The response and its JSON (or its text)."""
        async with self.client.request(method, URL(path, encoded=True), **more) as response:
            text = await response.text()
        content = await response.json(content_type=None) if "json" in response.content_type and text else text
        self._check.check(method, URL(path, encoded=True).raw_path, response, content)
        return response, content

    async def get(self, path: str, **more: Any) -> Any:
        """The content of a good answer."""
        response, content = await self.ask("GET", path, **more)
        assert response.status == 200, content
        return content

    async def problem(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and content of a refusal."""
        response, content = await self.ask(method, path, **more)
        assert response.content_type == "application/problem+json", content
        return response.status, content


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
