"""How the API says no, whoever noticed: itself, aiohttp, or an accident."""

import asyncio
import io
import json
import logging

import pytest

from proxy.admin import asking
from proxy.admin.problem import escaped
from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeSupervisor

SPLIT = "/v1/services/shop/split"
JSON = {"Content-Type": "application/json"}


async def test_an_unknown_path_is_a_problem(api: Api):
    status, content = await api.problem("GET", "/v1/sevices")
    assert status == 404
    assert content == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such path; /openapi.json lists all of them",
        "problems": [],
    }


async def test_a_wrong_method_is_told_the_right_ones(api: Api):
    response, content = await api.ask("POST", SPLIT, json={})
    assert (response.status, response.headers["Allow"]) == (405, "PUT")
    assert content["detail"] == "POST is not for this path; PUT is"


async def test_an_event_stream_has_no_head(api: Api):
    response, _ = await api.ask("HEAD", "/v1/events")
    assert (response.status, response.headers["Allow"]) == (405, "GET")


async def test_an_accident_is_logged_and_tells_nothing(
    api: Api, supervisor: FakeSupervisor, caplog: pytest.LogCaptureFixture
):
    supervisor.failure = RuntimeError("the secret is 1234")
    status, content = await api.problem("PUT", SPLIT, json={"weights": {"stable": 1}})
    assert (status, content["detail"]) == (500, "Something went wrong in the proxy; its log says what")
    assert "1234" not in json.dumps(content)
    assert "RuntimeError: the secret is 1234" in caplog.text


async def test_a_log_line_holds_no_control_character_of_a_client(
    api: Api, supervisor: FakeSupervisor, caplog: pytest.LogCaptureFixture
):
    supervisor.failure = RuntimeError("oops")
    with caplog.at_level(logging.DEBUG, "serinus.admin"):
        await api.problem("PUT", f"{SPLIT}?dry_run=false&dry%0Arun=1", json={"weights": {"stable": 1}})
        await api.problem("DELETE", "/v1/services/shop/versions/stable/endpoints/unix:%2Fa%0Ab%1B[31m")
        await api.problem("PUT", SPLIT, json={"weights": {"stable": 1}})
    assert all(record.getMessage().isprintable() for record in caplog.records if record.name == "serinus.admin")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/v1/state", "/v1/state"),
        ("a\r\nb\x1b[0m\u2028", "a\\r\\nb\\x1b[0m\\u2028"),
        ("x" * 1000, "x" * 197 + "..."),
        ("\udcff", "\\udcff"),
    ],
)
def test_text_of_a_client_is_escaped_for_the_log(text: str, shown: str):
    assert escaped(text) == shown


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_of_another_type_is_not_read(api: Api, kind: str):
    status, _ = await api.problem("PUT", SPLIT, data=b'{"weights": {"stable": 1}}', headers={"Content-Type": kind})
    assert status == 415


async def test_a_body_may_name_its_charset(api: Api):
    headers = {"Content-Type": "application/json; charset=utf-8"}
    response, _ = await api.ask("PUT", SPLIT, data=b'{"weights": {"stable": 1}}', headers=headers)
    assert response.status == 200


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_over_the_limit_is_refused(api: Api, is_announced: bool):
    body = b" " * (asking.MAX_BODY + 1)

    async def pieces():
        yield body

    status, content = await api.problem("PUT", SPLIT, data=io.BytesIO(body) if is_announced else pieces(), headers=JSON)
    assert (status, content["title"]) == (413, "Content Too Large")


async def test_a_body_at_the_limit_is_read(api: Api):
    body = b'{"weights": {"stable": 1}}'.ljust(asking.MAX_BODY)
    response, _ = await api.ask("PUT", SPLIT, data=body, headers=JSON)
    assert response.status == 200


async def test_a_body_that_does_not_come_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asking, "BODY_SECONDS", 0.01)
    is_answered = asyncio.Event()

    async def pieces():
        yield b"{"
        await is_answered.wait()

    response, _ = await api.ask("PUT", SPLIT, data=pieces(), headers=JSON)
    is_answered.set()
    assert response.status == 408


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b'{"weights": {"stable": 1}', "Expecting ',' delimiter: line 1 column 26 (char 25)"),
        (b'{"weights": {"stable": NaN}}', "NaN is not a JSON number"),
        (b'{"weights": {"stable": 1, "stable": 2}}', "the name 'stable' stands in an object twice"),
        (b'{"weights": {"\xff": 1}}', "it is not UTF-8 text"),
        (b'{"weights": {"\\ud800": 1}}', "it is not UTF-8 text"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
async def test_a_body_that_is_not_json_is_refused(api: Api, body: bytes, message: str):
    status, content = await api.problem("PUT", SPLIT, data=body, headers=JSON)
    assert (status, content["detail"]) == (422, "The body is not JSON")
    assert [each["message"] for each in content["problems"]] == [message]


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"text"'])
async def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes):
    status, content = await api.problem("PUT", SPLIT, data=body, headers=JSON)
    assert (status, content["problems"][0]["message"]) == (422, "must be an object")


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5000, b"-0.1"])
async def test_a_number_beyond_all_bounds_is_refused(api: Api, number: bytes):
    status, _ = await api.problem("PUT", SPLIT, data=b'{"weights": {"stable": ' + number + b"}}", headers=JSON)
    assert status == 422


async def test_a_body_is_sent_after_100_continue(api: Api):
    response, _ = await api.ask("PUT", SPLIT, json={"weights": {"stable": 1}}, expect100=True)
    assert response.status == 200


async def test_another_expectation_is_a_problem(api: Api):
    status, content = await api.problem("GET", "/v1/state", headers={"Expect": "the-unexpected"})
    assert (status, content["title"]) == (417, "Expectation Failed")


async def test_answers_say_who_we_are_and_are_not_kept(api: Api):
    for path in ("/v1/state", "/nowhere"):
        response, _ = await api.ask("GET", path)
        fields = {name: response.headers[name] for name in ("Server", "Cache-Control", "X-Content-Type-Options")}
        assert fields == {"Server": "serinus", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
