"""Who gets in."""

from collections.abc import AsyncIterator

import pytest

from config.admin import Admin
from tests.webapi.orchard import Orchard, growing
from webapi.gate import WINDOW_SECONDS, WRONG_TOKENS, WrongTokens, require_token

TOKEN = "correct-horse-battery-staple"
TREE = "/trees/elm"
APPLES = f"{TREE}/apples"
GOOD = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def api() -> AsyncIterator[Orchard]:
    """An API with a token."""
    async with growing(address="0.0.0.0:0", token=TOKEN) as orchard:
        yield orchard


@pytest.fixture
async def open_api() -> AsyncIterator[Orchard]:
    """An API on a local address without a token."""
    async with growing(address="127.0.0.1:0") as orchard:
        yield orchard


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("address", ["0.0.0.0:9900", "[::]:9900", "10.0.0.1:9900", "admin.example:9900", "fd@3"])
def test_an_address_that_others_reach_needs_a_token(address: str):
    guarded = Admin.model_validate({"address": address, "token": TOKEN})
    require_token(guarded, "admin")
    unguarded = guarded.model_copy(update={"token": None})  # what the configuration itself refuses
    with pytest.raises(ValueError, match=r"admin.address .* is not local: set admin.token or admin.token_file"):
        require_token(unguarded, "admin")


async def test_the_token_opens(api: Orchard):
    await api.get(TREE, headers=GOOD)
    await api.get(TREE, headers={"Authorization": f"bearer   {TOKEN}"})


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": f"Basic {TOKEN}"}])
@pytest.mark.parametrize("path", [TREE, "/falling", "/nowhere"])
async def test_without_a_token_there_is_nothing_to_see(api: Orchard, headers: dict[str, str], path: str):
    response, _ = await api.ask("GET", path, headers=headers)
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="serinus"')


@pytest.mark.parametrize("token", [TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é", "x" * 7000])
async def test_another_token_does_not_open(api: Orchard, token: str):
    response, content = await api.ask("PUT", APPLES, headers=bearer(token), json={})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="serinus", error="invalid_token"'
    assert content["detail"] == "There is no such token"


async def test_an_open_call_needs_no_token(api: Orchard):
    await api.get("/sky")
    await api.get("/sky", headers=bearer("wrong"))


async def test_wrong_tokens_are_slowed_down(api: Orchard):
    answers = [await api.ask("GET", TREE, headers=bearer("old")) for _ in range(WRONG_TOKENS + 1)]
    assert [response.status for response, _ in answers] == [401] * WRONG_TOKENS + [429]
    assert 1 <= int(answers[-1][0].headers["Retry-After"]) <= WINDOW_SECONDS


async def test_a_program_with_an_old_token_locks_nobody_out(api: Orchard):
    for _ in range(2 * WRONG_TOKENS):
        await api.ask("GET", TREE, headers=bearer("old"))
    await api.get(TREE, headers=GOOD)


async def test_who_guesses_is_not_told_when_a_guess_is_right(api: Orchard):
    for guess in range(WRONG_TOKENS):
        await api.ask("GET", TREE, headers=bearer(f"guess-{guess}"))
    response, _ = await api.ask("GET", TREE, headers=GOOD)
    assert response.status == 429


def test_wrong_tokens_are_forgotten_after_a_while():
    wrong = WrongTokens()
    for guess in range(WRONG_TOKENS):
        wrong.note("a", bytes([guess]), 100.0 + guess / 10)
    assert (wrong.is_guessing("a", 109.9), wrong.wait("a", 109.9)) == (True, 1)
    assert (wrong.is_guessing("a", 110.05), wrong.wait("a", 110.05)) == (False, 0)
    assert (wrong.is_guessing("b", 109.9), wrong.wait("b", 109.9)) == (False, 0)


def test_a_guesser_gets_ten_guesses_in_ten_seconds_however_often_an_old_token_comes_between():
    wrong = WrongTokens()
    for guess in range(WRONG_TOKENS - 1):
        wrong.note("a", bytes([guess]), 100.0)
        wrong.note("a", b"old", 100.0)
    assert wrong.is_guessing("a", 100.0)


def test_wrong_tokens_of_very_many_addresses_are_not_all_remembered():
    wrong = WrongTokens()
    for number in range(5000):
        wrong.note(str(number), b"x", 100.0)
    assert len(wrong._by_address) <= 1024


async def test_a_token_that_a_reload_brought_counts_at_once(api: Orchard):
    api.settings = Admin.model_validate({"address": "0.0.0.0:0", "token": "another"})
    assert (await api.problem("GET", TREE, headers=GOOD))[0] == 401
    await api.get(TREE, headers=bearer("another"))


async def test_an_address_that_others_reach_is_closed_when_a_reload_takes_the_token(api: Orchard):
    api.settings = Admin()
    for headers in ({}, GOOD):
        assert (await api.problem("GET", TREE, headers=headers))[0] == 403


# --- browsers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1", "http://[broken", "http://127.0.0.1:x", "file://"]
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_page_of_another_site_gets_nothing(open_api: Orchard, method: str, origin: str):
    path = TREE if method == "GET" else APPLES
    status, content = await open_api.problem(method, path, headers={"Origin": origin}, json={"apples": 1})
    sentence = "Pages of other sites have no access: Origin has to be this API's own host and port, or absent"
    assert (status, content["detail"]) == (403, sentence)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:9900", "http://localhost:9900"),
        ("LOCALHOST", "http://localhost:80"),
        ("[::1]:80", "http://[::1]"),
        ("127.0.0.1", "https://127.0.0.1:443"),
    ],
)
async def test_a_page_of_the_same_site_gets_in(open_api: Orchard, host: str, origin: str):
    await open_api.get(TREE, headers={"Host": host, "Origin": origin})


async def test_nothing_invites_pages_of_other_sites(open_api: Orchard):
    """No CORS: a browser that asks whether it may send more than a form hears no, or nothing."""
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    for origin, status in (("http://evil.example", 403), ("http://localhost:9900", 405)):
        headers = {"Host": "localhost:9900", "Origin": origin, **asked}
        response, _ = await open_api.ask("OPTIONS", APPLES, headers=headers)
        assert response.status == status
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]


REBOUND = [
    "rebound.evil.example:9900", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example",
    "10.0.0.5:9900", "0.0.0.0:9900", "[2001:db8::1]", "2130706433", "localhost:80:80", "[::1", "",
]  # fmt: skip


@pytest.mark.parametrize("host", REBOUND)
async def test_a_name_that_a_site_points_here_gets_nothing(open_api: Orchard, host: str):
    for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
        for method, path in (("GET", TREE), ("PUT", APPLES)):
            assert (await open_api.problem(method, path, headers=headers, json={"apples": 1}))[0] == 403
    await open_api.get("/sky", headers={"Host": host})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9900", "[::1]:9900", "127.0.0.2", "LocalHost:1"])
async def test_this_machine_has_its_names(open_api: Orchard, host: str):
    await open_api.get(TREE, headers={"Host": host})
    await open_api.get(TREE, headers={"Host": host, "Origin": f"http://{host}"})


async def test_with_a_token_the_name_does_not_matter(api: Orchard):
    await api.get(TREE, headers={"Host": "serinus.internal:9900", **GOOD})
