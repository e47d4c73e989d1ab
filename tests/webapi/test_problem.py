"""How the API says no, whoever noticed: itself, aiohttp, or an accident."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.webapi.orchard import MAX_BODY, Orchard, growing
from webapi import asking
from webapi.problem import escaped

TREE = "/trees/elm"
APPLES = f"{TREE}/apples"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def api() -> AsyncIterator[Orchard]:
    async with growing(address="127.0.0.1:0") as orchard:
        yield orchard


async def test_an_unknown_path_is_a_problem(api: Orchard):
    status, content = await api.problem("GET", "/tree/elm")
    assert status == 404
    assert content == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no such path; /openapi.json lists all of them",
        "problems": [],
    }


async def test_a_wrong_method_is_told_the_right_ones(api: Orchard):
    response, content = await api.ask("POST", APPLES, json={})
    assert (response.status, response.headers["Allow"]) == (405, "PUT")
    assert content["detail"] == "POST is not for this path; PUT is"


async def test_an_event_stream_has_no_head(api: Orchard):
    response, _ = await api.ask("HEAD", "/falling")
    assert (response.status, response.headers["Allow"]) == (405, "GET")


async def test_an_accident_is_logged_and_tells_nothing(api: Orchard, caplog: pytest.LogCaptureFixture):
    status, content = await api.problem("PUT", APPLES, json={"apples": 13})
    assert (status, content["detail"]) == (500, "Something went wrong in the orchard; its log says what")
    assert "1234" not in json.dumps(content)
    assert "RuntimeError: the secret is 1234" in caplog.text


async def test_a_log_line_holds_no_control_character_of_a_client(api: Orchard, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, "serinus.api"):
        await api.problem("PUT", "/trees/a%0Ab%1B[31m/apples", json={"apples": 13})
    lines = [record.getMessage() for record in caplog.records if record.name == "serinus.api"]
    assert len(lines) == 1
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/trees/elm", "/trees/elm"),
        ("a\r\nb\x1b[0m\u2028", "a\\r\\nb\\x1b[0m\\u2028"),
        ("x" * 1000, "x" * 197 + "..."),
        ("\udcff", "\\udcff"),
    ],
)
def test_text_of_a_client_is_escaped_for_the_log(text: str, shown: str):
    assert escaped(text) == shown


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_body_of_another_type_is_not_read(api: Orchard, kind: str):
    status, _ = await api.problem("PUT", APPLES, data=b'{"apples": 1}', headers={"Content-Type": kind})
    assert status == 415


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
@pytest.mark.parametrize(("method", "path"), [("DELETE", TREE), ("POST", f"{TREE}/graft"), ("POST", f"{TREE}/water")])
async def test_a_change_takes_json_or_nothing(api: Orchard, method: str, path: str, kind: str):
    """What a form of another site sends is never JSON, also where the body would say nothing."""
    status, content = await api.problem(method, path, data=b"{}", headers={"Content-Type": kind})
    assert (status, content["detail"]) == (415, "The body has to be JSON: send Content-Type: application/json")
    for body in ({"data": b"", "headers": {"Content-Type": kind}}, {"data": b"{}", "headers": JSON}, {}):
        assert (await api.ask(method, path, **body))[0].status == 200


async def test_looking_with_a_stray_body_is_looking(api: Orchard):
    await api.get(TREE, data=b"x=1", headers={"Content-Type": "application/x-www-form-urlencoded"})


async def test_a_body_may_name_its_charset(api: Orchard):
    headers = {"Content-Type": "application/json; charset=utf-8"}
    response, _ = await api.ask("PUT", APPLES, data=b'{"apples": 1}', headers=headers)
    assert response.status == 200


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_over_the_limit_is_refused(api: Orchard, is_announced: bool):
    body = b" " * (MAX_BODY + 1)

    async def pieces():
        yield body

    status, content = await api.problem(
        "PUT", APPLES, data=io.BytesIO(body) if is_announced else pieces(), headers=JSON
    )
    assert (status, content["title"]) == (413, "Content Too Large")


async def test_a_body_at_the_limit_is_read(api: Orchard):
    body = b'{"apples": 1}'.ljust(MAX_BODY)
    response, _ = await api.ask("PUT", APPLES, data=body, headers=JSON)
    assert response.status == 200


async def test_a_body_that_does_not_come_is_not_waited_for(api: Orchard, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(asking, "BODY_SECONDS", 0.01)
    is_answered = asyncio.Event()

    async def pieces():
        yield b"{"
        await is_answered.wait()

    response, _ = await api.ask("PUT", APPLES, data=pieces(), headers=JSON)
    is_answered.set()
    assert response.status == 408


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b'{"apples": 1', "Expecting ',' delimiter: line 1 column 13 (char 12)"),
        (b'{"apples": NaN}', "NaN is not a JSON number"),
        (b'{"apples": 1, "apples": 2}', "the name 'apples' stands in an object twice"),
        (b'{"\xff": 1}', "it is not UTF-8 text"),
        (b'{"\\ud800": 1}', "it is not UTF-8 text"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
async def test_a_body_that_is_not_json_is_refused(api: Orchard, body: bytes, message: str):
    status, content = await api.problem("PUT", APPLES, data=body, headers=JSON)
    assert (status, content["detail"]) == (422, "The body is not JSON")
    assert [each["message"] for each in content["problems"]] == [message]


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"text"'])
async def test_a_body_that_is_no_object_is_refused(api: Orchard, body: bytes):
    status, content = await api.problem("PUT", APPLES, data=body, headers=JSON)
    assert (status, content["problems"][0]["message"]) == (422, "must be an object")


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5000, b"-0.1"])
async def test_a_number_beyond_all_bounds_is_refused(api: Orchard, number: bytes):
    status, _ = await api.problem("PUT", APPLES, data=b'{"apples": ' + number + b"}", headers=JSON)
    assert status == 422


async def test_a_body_is_sent_after_100_continue(api: Orchard):
    response, _ = await api.ask("PUT", APPLES, json={"apples": 1}, expect100=True)
    assert response.status == 200


async def test_another_expectation_is_a_problem(api: Orchard):
    status, content = await api.problem("GET", "/trees/elm", headers={"Expect": "the-unexpected"})
    assert (status, content["title"]) == (417, "Expectation Failed")


async def test_answers_say_who_we_are_and_are_not_kept(api: Orchard):
    for path in ("/trees/elm", "/nowhere"):
        response, _ = await api.ask("GET", path)
        fields = {name: response.headers[name] for name in ("Server", "Cache-Control", "X-Content-Type-Options")}
        assert fields == {"Server": "serinus", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


async def test_a_body_in_which_everything_has_a_default_need_not_be_there(api: Orchard):
    ways: list[dict[str, Any]] = [{}, {"json": {}}, {"data": b"", "headers": JSON}]
    for more in ways:
        _, content = await api.ask("POST", "/trees/elm/water", **more)
        assert content == {"tree": "elm", "apples": 1, "by": "somebody", "problems": []}


async def test_all_problems_of_a_body_are_told_with_the_nearest_key(api: Orchard):
    status, content = await api.problem("PUT", APPLES, json={"apples": "x", "form": "top", "reason": "a\nb"})
    assert (status, content["detail"]) == (422, "The request cannot be used")
    assert {(each["path"], each["message"], each["suggestion"]) for each in content["problems"]} == {
        ("apples", "input should be a valid integer", None),
        ("form", "is not known here", "from"),
        ("reason", "holds a control character; one line of plain text is wanted", None),
    }


async def test_a_body_that_is_wrong_where_it_could_be_left_out_is_read_all_the_same(api: Orchard):
    _, content = await api.ask("PUT", APPLES, json={"apples": 3, "form": "top"})
    assert content == {"tree": "elm", "apples": 3, "by": "somebody", "problems": ["form"]}


async def test_who_asks_is_one_line_of_a_header(api: Orchard):
    assert (await api.get("/trees/elm", headers={"X-Serinus-Actor": "bob"}))["by"] == "bob"
    for actor in ("", "x" * 101, "a\tb"):
        status, content = await api.problem("GET", "/trees/elm", headers={"X-Serinus-Actor": actor})
        assert (status, content["detail"]) == (422, "The actor cannot be used")


async def test_a_refusal_of_whoever_is_asked_keeps_its_fields_and_members(api: Orchard):
    response, content = await api.ask("PUT", APPLES, json={"apples": 99})
    assert (response.status, response.headers["X-Worm"], content["worms"]) == (409, "yes", 1)
    assert (content["title"], content["detail"]) == ("Conflict", "99 apples are too many")


async def test_a_get_has_a_head_as_well(api: Orchard):
    response, content = await api.ask("HEAD", "/trees/elm")
    assert (response.status, content) == (200, "")
