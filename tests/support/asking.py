"""Asking an API of ours in this process, as its tests do: an answer with its content, a good one, a refusal."""

from __future__ import annotations

from typing import Any, Protocol

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from yarl import URL


class Check(Protocol):
    """Holds an answer against what describes it."""

    def check(self, method: str, raw_path: str, response: ClientResponse, content: Any) -> None:
        """Raise when it is not described."""


class Asking:
    """Asks; every answer is checked, where there is a check."""

    def __init__(self, client: TestClient[Any, Any], check: Check | None = None) -> None:
        self.client = client
        self._check = check

    async def ask(self, method: str, path: str, **more: Any) -> tuple[ClientResponse, Any]:
        """The response and its JSON (or its text)."""
        url = URL(path, encoded=True)
        async with self.client.request(method, url, **more) as response:
            text = await response.text()
        content = await response.json(content_type=None) if "json" in response.content_type and text else text
        if self._check is not None:
            self._check.check(method, url.raw_path, response, content)
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
