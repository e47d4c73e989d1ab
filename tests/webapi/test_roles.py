"""What each token may do, and whose name a change has."""

import hmac
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.admin import OWN_NAMES, ROLES, Role
from tests.webapi.orchard import DOCUMENT, Orchard, growing, settings_of
from webapi.call import Call
from webapi.roles import Caller, caller_with, digest_of
from webapi.shapes import Closed

TREE = "/trees/elm"
APPLES = f"{TREE}/apples"
TOKENS = [
    {"name": "grafana", "role": "read", "token": "r"},
    {"name": "ci", "role": "operate", "token": "o"},
    {"name": "Alice", "role": "admin", "token": "a"},
]


@pytest.fixture
async def api() -> AsyncIterator[Orchard]:
    async with growing(address="127.0.0.1:0", token="old", tokens=TOKENS) as orchard:
        yield orchard


def holding(token: str, actor: str = "") -> dict[str, Any]:
    said = {"X-Serinus-Actor": actor} if actor else {}
    return {"headers": {"Authorization": f"Bearer {token}", **said}}


@pytest.mark.parametrize("token", ["old", "r", "a", "wrong", ""])
def test_every_token_is_compared_in_constant_time(token: str, monkeypatch: pytest.MonkeyPatch):
    """As often, and as many bytes, whichever it is."""
    compare, compared = hmac.compare_digest, []

    def noting(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    caller_with(digest_of(token), settings_of(token="old", tokens=TOKENS))
    assert compared == [(32, 32)] * (1 + len(TOKENS))


# --- roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", TREE, None, "roa"),
        ("HEAD", TREE, None, "roa"),
        ("PUT", APPLES, {"apples": 1}, "oa"),
        ("POST", f"{TREE}/water", None, "oa"),
        ("DELETE", TREE, None, "oa"),
        ("DELETE", f"{TREE}?force=false", None, "oa"),
        ("DELETE", f"{TREE}?force=true", None, "a"),
        ("POST", f"{TREE}/graft", None, "a"),
    ],
)
async def test_a_token_may_do_what_its_role_says(api: Orchard, method: str, path: str, body: Any, allowed: str):
    statuses = {token: (await api.ask(method, path, json=body, **holding(token)))[0].status for token in "roa"}
    assert statuses == {token: 200 if token in allowed else 403 for token in "roa"}


async def test_the_token_without_a_name_may_do_everything(api: Orchard):
    response, _ = await api.ask("DELETE", f"{TREE}?force=true", **holding("old"))
    assert response.status == 200


async def test_who_may_not_is_told_which_role_it_takes(api: Orchard):
    response, content = await api.ask("PUT", APPLES, json={"apples": 1}, **holding("r"))
    assert (response.status, content["title"]) == (403, "Forbidden")
    assert content["detail"] == "put_apples needs the role operate; the token grafana has the role read"
    challenge = 'Bearer realm="serinus", error="insufficient_scope", scope="operate"'
    assert response.headers["WWW-Authenticate"] == challenge


async def test_nobody_learns_what_is_wrong_with_a_body_that_they_may_not_send(api: Orchard):
    status, content = await api.problem("PUT", APPLES, json={"apples": "x"}, **holding("r"))
    assert (status, content["problems"]) == (403, [])


async def test_a_role_that_a_reload_has_changed_counts_at_once(api: Orchard):
    api.settings = settings_of(tokens=[{**TOKENS[0], "role": "admin"}])
    response, _ = await api.ask("DELETE", f"{TREE}?force=true", **holding("r"))
    assert response.status == 200
    assert (await api.problem("GET", TREE, **holding("o")))[0] == 401


async def test_named_tokens_alone_close_the_api_as_well():
    async with growing(address="127.0.0.1:0", tokens=TOKENS) as api:
        assert (await api.problem("GET", TREE))[0] == 401
        await api.get(TREE, **holding("r"))


async def test_without_any_token_whoever_is_on_this_machine_may_do_everything():
    async with growing(address="127.0.0.1:0") as api:
        response, _ = await api.ask("DELETE", f"{TREE}?force=true")
        assert response.status == 200


def test_the_description_names_the_role_of_each_call():
    described = {
        operation["operationId"]: operation.get("security")
        for operations in DOCUMENT["paths"].values()
        for operation in operations.values()
    }
    assert described == {
        "get_sky": None,
        "get_tree": [{}, {"token": ["read"]}],
        "put_apples": [{}, {"token": ["operate"]}],
        "post_water": [{}, {"token": ["operate"]}],
        "delete_tree": [{}, {"token": ["operate"]}],
        "post_graft": [{}, {"token": ["admin"]}],
        "get_falling": [{}, {"token": ["read"]}],
    }
    (force,) = [each for each in DOCUMENT["paths"]["/trees/{tree}"]["delete"]["parameters"] if each["name"] == "force"]
    assert force["description"] == "Also with apples on it. Needs the role admin."


@given(st.sampled_from(ROLES), st.sampled_from(ROLES))
def test_a_role_may_do_what_those_before_it_may(role: Role, needed: Role):
    assert Caller("x", role).may(needed) == (needed in ROLES[: ROLES.index(role) + 1])


@given(st.sampled_from(["GET", "PUT", "POST", "DELETE"]))
def test_a_row_that_says_no_role_lets_nobody_but_an_admin_change_anything(method: Any):
    async def view(asked: Any) -> Any: ...

    assert Call(method, "/", view, "").needed == ("read" if method == "GET" else "admin")


class Options(Closed):
    one: bool = False
    two: bool = False


@given(st.sampled_from(ROLES), st.fixed_dictionaries({"one": st.sampled_from(ROLES), "two": st.sampled_from(ROLES)}))
def test_an_option_never_needs_less_than_its_call(role: Role, roles: dict[str, Role]):
    async def view(asked: Any) -> Any: ...

    call: Call[Any] = Call("POST", "/", view, "", query=Options, role=role, roles_of_options=roles)
    assert call.needed_with(Options()) == role
    assert ROLES.index(call.needed_with(Options(one=True))) == max(ROLES.index(role), ROLES.index(roles["one"]))
    both = max(ROLES.index(each) for each in (role, *roles.values()))
    assert ROLES.index(call.needed_with(Options(one=True, two=True))) == both


# --- names ------------------------------------------------------------------------------------------------------------


async def test_a_change_has_the_name_of_the_token(api: Orchard):
    assert (await api.get(TREE, **holding("o")))["by"] == "ci"


async def test_what_the_owner_of_a_token_says_of_themselves_is_added_and_does_not_replace_it(api: Orchard):
    assert (await api.get(TREE, **holding("o", "bob")))["by"] == "ci for bob"


async def test_the_token_without_a_name_is_called_what_its_owner_says(api: Orchard):
    assert (await api.get(TREE, **holding("old")))["by"] == "somebody"
    assert (await api.get(TREE, **holding("old", "bob")))["by"] == "bob"


@pytest.mark.parametrize("token", ["old", "o"])
@pytest.mark.parametrize("name", ["alice", "ALICE", "grafana", "breaker", "File", "reload", "lease"])
async def test_nobody_can_ask_in_the_name_of_somebody_else(api: Orchard, token: str, name: str):
    status, content = await api.problem("GET", TREE, **holding(token, name))
    assert (status, content["detail"]) == (422, "The actor cannot be used")
    assert content["problems"][0]["message"].startswith(f"'{name}' is the name of somebody else")


async def test_an_owner_may_say_the_name_of_their_own_token(api: Orchard):
    assert (await api.get(TREE, **holding("o", "ci")))["by"] == "ci for ci"


NAMES = st.lists(
    st.tuples(
        st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True),
        st.sampled_from(ROLES),
        st.from_regex(r"[!-~]{1,20}", fullmatch=True),
    ),
    min_size=1,
    max_size=8,
    unique_by=(lambda token: token[0], lambda token: token[2]),
)


@given(NAMES, st.from_regex(r"[!-~]{1,20}", fullmatch=True))
def test_every_token_is_known_by_its_own_name_and_role_and_nothing_else_is(
    tokens: list[tuple[str, Role, str]], other: str
):
    written = [{"name": name, "role": role, "token": token} for name, role, token in tokens if name not in OWN_NAMES]
    admin = settings_of(tokens=written)
    for each in written:
        caller = caller_with(digest_of(each["token"]), admin)
        assert caller is not None
        assert (caller.name, caller.role) == (each["name"], each["role"])
    assert (caller_with(digest_of(other), admin) is None) == (other not in [each["token"] for each in written])
