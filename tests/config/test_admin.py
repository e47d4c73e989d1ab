"""Who may call: the tokens of a file, and everything that can be wrong with them."""

from pathlib import Path

import pytest

from config.load import loads
from config.notices import notices
from config.problems import ConfigError
from config.show import plain, render
from tests.config.loading import HEAD, ONE, config_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("ci.token", "c1\n"), ("alice.token", "a1\n"), ("same.token", "c1"), ("empty.token", "\n")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.mark.parametrize("section", ["admin", "controller"])
def test_named_tokens_are_read_from_their_files(folder: Path, section: str):
    tokens = "[{name: ci, role: operate, token_file: ci.token}, {name: bob, role: read, token: '${BOB}'}]"
    text = f"{HEAD}{ONE}{section}: {{address: '0.0.0.0:9900', tokens: {tokens}}}"
    config = loads(text, folder=folder, environ={"BOB": "b1"})
    part = config.admin if section == "admin" else config.controller
    found = [(each.name, each.role, each.token.get_secret_value()) for each in part.tokens if each.token]
    assert found == [("ci", "operate", "c1"), ("bob", "read", "b1")]
    assert part.needs_token


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "{tokens: [{name: ci, role: read, token: x}, {name: CI, role: read, token: y}]}",
            "{section}.tokens[1].name: another token is called ci already; a name tells who it was",
        ),
        (
            "{tokens: [{name: ci, role: operat, token: x}]}",
            "{section}.tokens[0].role: must be 'read', 'operate' or 'admin', not 'operat' (did you mean 'operate'?)",
        ),
        ("{tokens: [{name: ci, token: x}]}", "{section}.tokens[0].role: is required"),
        ("{tokens: [{role: read, token: x}]}", "{section}.tokens[0].name: is required"),
        ("{tokens: [{name: ci, role: read}]}", "{section}.tokens[0]: the token ci needs a token or a token_file"),
        (
            "{tokens: [{name: ci, role: read, token: x, token_file: ci.token}]}",
            "{section}.tokens[0]: takes either token or token_file, not both",
        ),
        (
            "{tokens: [{name: ci, role: read, token_file: empty.token}]}",
            "{section}.tokens[0].token_file: no token in '{folder}/empty.token': '{folder}/empty.token' is empty",
        ),
        (
            "{tokens: [{name: ci, role: read, token_file: c.token}]}",
            "{section}.tokens[0].token_file: no token in '{folder}/c.token': cannot read '{folder}/c.token'",
        ),
        (
            "{tokens: [{name: breaker, role: read, token: x}]}",
            "{section}.tokens[0]: 'breaker' stands for Serinus itself where a change says by whom; take another name",
        ),
        ("{tokens: [{name: a b, role: read, token: x}]}", "{section}.tokens[0].name: 'a b' is not a name"),
        (
            "{tokens: [{name: ci, role: read, token_file: ci.token}, {name: b, role: read, token_file: same.token}]}",
            "{section}: the tokens ci and b are the same; give each its own",
        ),
        (
            "{token: c1, tokens: [{name: ci, role: read, token_file: ci.token}]}",
            "{section}: the tokens of this section and ci are the same; give each its own",
        ),
        (
            "{tokens: [{name: ci, role: read, tokn: x}]}",
            "{section}.tokens[0]: unknown key 'tokn' (did you mean 'token'?)",
        ),
    ],
)
@pytest.mark.parametrize("section", ["admin", "controller"])
def test_what_is_wrong_with_tokens_is_told_at_load(folder: Path, section: str, settings: str, message: str):
    with pytest.raises(ConfigError) as failure:
        loads(f"{HEAD}{ONE}{section}: {settings}", folder=folder, environ={})
    assert message.format(section=section, folder=folder) in str(failure.value)
    assert "c1" not in str(failure.value)


def test_no_token_of_a_file_is_shown(folder: Path):
    tokens = "[{name: ci-2, role: operate, token: s3cret}, {name: bob, role: read, token_file: ci.token}]"
    config = config_of(f"{HEAD}{ONE}admin: {{tokens: {tokens}}}", folder=folder)
    assert plain(config)["admin"]["tokens"] == [
        {"token": "${SERINUS_TOKEN_CI_2}", "name": "ci-2", "role": "operate"},
        {"token_file": str(folder / "ci.token"), "name": "bob", "role": "read"},
    ]
    assert "s3cret" not in repr(config)
    assert loads(render(config), environ={"SERINUS_TOKEN_CI_2": "s3cret"}) == config


@pytest.mark.parametrize(("mode", "verb"), [(0o644, "read"), (0o604, "read"), (0o646, "write"), (0o602, "write")])
def test_a_file_that_everybody_can_open_is_told(folder: Path, mode: int, verb: str):
    (folder / "ci.token").chmod(mode)
    part = "{token_file: alice.token, tokens: [{name: ci, role: read, token_file: ci.token}]}"
    led = "{proxies: [{address: 'a:1', token_file: ci.token}]}"
    config = config_of(f"{HEAD}{ONE}admin: {part}\ncontroller: {led}", folder=folder)
    sentence = "everybody on this machine can {verb} {path}; keep it to its owner: chmod 600 {path}"
    told = sentence.format(verb=verb, path=folder / "ci.token")
    assert notices(config) == (
        f"admin.tokens[0].token_file: {told}",
        f"controller.proxies[0].token_file: {told}",
    )


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_file_of_its_owner_and_a_group_is_fine(folder: Path, mode: int):
    (folder / "ci.token").chmod(mode)
    assert notices(config_of(f"{HEAD}{ONE}admin: {{token_file: ci.token}}", folder=folder)) == ()


def test_a_file_that_has_gone_in_between_is_no_matter(folder: Path):
    config = config_of(f"{HEAD}{ONE}admin: {{token_file: ci.token}}", folder=folder)
    (folder / "ci.token").unlink()
    assert notices(config) == ()
