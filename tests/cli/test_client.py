"""The client: where it connects, what it sends, and what becomes of a refusal."""

import socket
from pathlib import Path

import pytest

from cli.client import AdminClient, ApiAddress
from cli.faults import (
    BadUsage,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    Refused,
    Stale,
    Unauthorized,
    Unreachable,
)
from tests.cli.fake_admin import Asked, FakeAdmin, serving


@pytest.fixture
def client(admin: FakeAdmin) -> AdminClient:
    return AdminClient(admin.address, "secret", actor="alice")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("127.0.0.1:9900", "http://127.0.0.1:9900"),
        ("http://127.0.0.1:9900/", "http://127.0.0.1:9900"),
        ("localhost:1", "http://localhost:1"),
        ("[::1]:9900", "http://[::1]:9900"),
        ("http://[::1]:9900", "http://[::1]:9900"),
        ("unix:/run/a b.sock", "unix:/run/a b.sock"),
    ],
)
def test_an_address_is_a_host_and_port_or_a_unix_socket(text: str, shown: str):
    assert str(ApiAddress.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1",
        "9900",
        ":9900",
        "http://",
        "https://a:1",
        "a:b",
        "a:99999",
        "a:1/v1",
        "http://u@a:1",
        "unix:",
        "[::1",
    ],
)
def test_anything_else_is_refused_with_the_forms_that_there_are(text: str):
    with pytest.raises(BadUsage, match=r"Write 127\.0\.0\.1:9900"):
        ApiAddress.parse(text)


@pytest.mark.parametrize("token", ["two\nlines", "ключ"])
def test_a_token_that_no_header_can_carry_is_refused(token: str):
    with pytest.raises(BadUsage, match="token"):
        AdminClient(token=token)


def test_every_call_is_the_one_that_the_interface_names(admin: FakeAdmin, client: AdminClient):
    client.state()
    client.service("shop")
    client.differences()
    client.set_split("shop", {"stable": 50.0, "canary": 50.0}, reason="why", if_match=7)
    client.activate("shop", "canary")
    client.add_endpoint("shop", "canary", "[::1]:9004")
    client.set_endpoint_state("shop", "canary", "unix:/run/a.sock", "drain")
    client.remove_endpoint("shop", "canary", "127.0.0.1:9003", force=True, reason="a & b")
    client.reload()
    endpoints = "/v1/services/shop/versions/canary/endpoints"
    assert [(asked.method, asked.path, asked.body) for asked in admin.asked] == [
        ("GET", "/v1/state", None),
        ("GET", "/v1/services/shop", None),
        ("GET", "/v1/config/diff", None),
        ("PUT", "/v1/services/shop/split", {"weights": {"stable": 50.0, "canary": 50.0}, "reason": "why"}),
        ("PUT", "/v1/services/shop/active", {"version": "canary", "reason": ""}),
        ("POST", endpoints, {"address": "[::1]:9004", "reason": ""}),
        ("PUT", f"{endpoints}/unix:/run/a.sock/state", {"state": "drain", "reason": ""}),
        ("DELETE", f"{endpoints}/127.0.0.1:9003?force=true&reason=a+&+b", None),
        ("POST", "/v1/reload", {"reason": ""}),
    ]


def test_a_call_carries_token_actor_and_condition(admin: FakeAdmin, client: AdminClient):
    client.set_split("shop", {"stable": 1.0, "canary": 0.0}, if_match=7)
    sent = admin.last.headers
    wanted = ("Authorization", "X-Serinus-Actor", "If-Match", "Content-Type")
    assert [sent[name] for name in wanted] == ["Bearer secret", "alice", '"7"', "application/json"]


def test_without_a_token_none_is_sent(admin: FakeAdmin):
    AdminClient(admin.address).state()
    assert "Authorization" not in admin.last.headers


def test_a_change_answers_with_the_service_as_it_is_then(client: AdminClient):
    assert client.activate("shop", "canary")["generation"] == 8


def test_a_unix_socket_works_as_well(tmp_path: Path):
    with serving(str(tmp_path / "admin.sock")) as admin:
        assert AdminClient(admin.address).state()["generation"] == 7
        assert admin.last == Asked("GET", "/v1/state", None, admin.last.headers)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (412, Stale),
        (422, Invalid),
        (503, Refused),
    ],
)
def test_a_refusal_has_a_kind_and_all_its_problems(
    status: int, kind: type[Refused], admin: FakeAdmin, client: AdminClient
):
    problems = [
        {"path": "weights.cnary", "message": "there is no version 'cnary'", "suggestion": "canary"},
        {"path": "", "message": "the rest is wrong too", "suggestion": None},
    ]
    content = {"title": "A Phrase", "status": status, "detail": "The split cannot be set", "problems": problems}
    admin.refusals["GET", "/v1/state"] = (status, content)
    with pytest.raises(Refused) as caught:
        client.state()
    refusal = caught.value
    assert type(refusal) is kind
    assert (str(refusal), refusal.status) == ("The split cannot be set", status)
    assert refusal.problems == (
        Problem("weights.cnary", "there is no version 'cnary'", "canary"),
        Problem("", "the rest is wrong too"),
    )


@pytest.mark.parametrize("content", [{}, [], "no", {"detail": None, "problems": None}])
def test_a_refusal_that_says_nothing_is_told_by_its_status(content: object, admin: FakeAdmin, client: AdminClient):
    admin.refusals["GET", "/v1/state"] = (500, content)
    with pytest.raises(Refused, match="the admin API answered 500"):
        client.state()


def test_nobody_there_is_told_with_the_next_step(unused_port: int):
    with pytest.raises(Unreachable) as caught:
        AdminClient(f"127.0.0.1:{unused_port}").state()
    assert str(caught.value) == (
        f"cannot reach the admin API at http://127.0.0.1:{unused_port}: connection refused. "
        "Is `serinus proxy` running? Set --admin or SERINUS_ADMIN."
    )


def test_no_such_socket_is_told(tmp_path: Path):
    with pytest.raises(Unreachable, match=r"a\.sock: no such file or directory\. Is `serinus proxy` running"):
        AdminClient(f"unix:{tmp_path}/a.sock").state()


def test_somebody_else_there_is_told(admin: FakeAdmin, client: AdminClient):
    admin.refusals["GET", "/v1/state"] = (200, b"<html>hello</html>")
    with pytest.raises(Unreachable, match="is not the admin API of Serinus"):
        client.state()


def test_something_that_speaks_no_http_is_told(unused_port: int):
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = AdminClient(f"127.0.0.1:{server.getsockname()[1]}", timeout=0.05)
        with pytest.raises(Unreachable, match=r"did not answer within 0\.05 s"):
            client.state()


def test_well_is_what_answers_200(admin: FakeAdmin, client: AdminClient):
    admin.is_ready = False
    assert (client.is_well("/healthz"), client.is_well("/readyz")) == (True, False)
