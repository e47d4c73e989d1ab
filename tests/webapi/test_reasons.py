"""Changes that have to say why."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.webapi.orchard import Orchard, growing

APPLES = "/trees/elm/apples"


@pytest.fixture
async def api() -> AsyncIterator[Orchard]:
    async with growing(address="127.0.0.1:0", require_reason=True) as orchard:
        yield orchard


@pytest.mark.parametrize("body", [{"apples": 1}, {"apples": 1, "reason": ""}, {"apples": 1, "reason": "  "}])
async def test_a_change_without_a_reason_is_refused_and_told_how(api: Orchard, body: dict[str, Any]):
    status, content = await api.problem("PUT", APPLES, json=body)
    assert (status, content["detail"]) == (422, "A change has to say why")
    assert [(each["path"], each["message"]) for each in content["problems"]] == [
        ("reason", "is required here (require_reason): say why; on the command line with --reason")
    ]


async def test_a_change_with_a_reason_is_made(api: Orchard):
    response, _ = await api.ask("PUT", APPLES, json={"apples": 1, "reason": "ripe"})
    assert response.status == 200


async def test_what_changes_nothing_and_what_has_no_place_for_a_reason_needs_none(api: Orchard):
    await api.get("/trees/elm")
    response, _ = await api.ask("POST", "/trees/elm/water")
    assert response.status == 200


async def test_a_file_that_does_not_ask_for_reasons_gets_changes_without():
    async with growing(address="127.0.0.1:0") as api:
        response, _ = await api.ask("PUT", APPLES, json={"apples": 1})
        assert response.status == 200
