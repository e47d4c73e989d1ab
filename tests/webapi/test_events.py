"""Server-sent events: their bytes, and where a client resumes."""

from collections.abc import AsyncIterator

import pytest

from tests.webapi.orchard import Orchard, growing


@pytest.fixture
async def api() -> AsyncIterator[Orchard]:
    async with growing(address="127.0.0.1:0") as orchard:
        yield orchard


async def test_an_event_has_a_number_a_kind_and_one_line_of_json(api: Orchard):
    response, text = await api.ask("GET", "/falling")
    assert response.content_type == "text/event-stream"
    assert text == ': ping\n\nid: 1\nevent: fell\ndata: {"apple": "one\\ntwo"}\n\n'


async def test_a_client_resumes_after_the_event_that_it_has_seen(api: Orchard):
    _, text = await api.ask("GET", "/falling", headers={"Last-Event-ID": "41"})
    assert "id: 42\n" in text


@pytest.mark.parametrize("number", ["", "x", "-1", "1.5", "\u0661", "9" * 19])
async def test_what_is_no_number_of_an_event_is_refused(api: Orchard, number: str):
    status, content = await api.problem("GET", "/falling", headers={"Last-Event-ID": number})
    assert (status, content["detail"]) == (422, "The stream cannot be resumed")
