import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.address import TcpAddress
from config.load import load
from config.model import Match, Route, TextMatch
from config.problems import ConfigError, Problem
from config.yaml12 import MAX_BYTES
from tests.config.loading import HEAD, ONE, SHOP, config_of, problems_of, raised


def test_all_problems_are_reported_at_once_each_with_its_place_and_the_nearest_name():
    text = """\
listen:
  - address: 127.0.0.1:8080
worker: 3
services:
  shop:
    versions:
      stable: {endpoints: ["127.0.0.1:9001", "shop"]}
      canary: {endpoint: ["127.0.0.1:9003"]}
    split: {stable: 99, cnary: 1}
    health: {path: /healthz, interval: 2x, rise: 2.5}
    balance: leastrequest
    expose_version: on
    retries: {budget: 20, budget: 30}
routes:
  - match: {host: "shop.example.com:80", headers: {X-Debug: 1}}
    service: shp
rollouts:
  shop: {strategy: canry, from: stable, to: canary}
timeouts: {response: '${RESPONSE}'}
"""
    assert problems_of(text) == [
        "3:1: unknown key 'worker' (did you mean 'workers'?)",
        "7:46: services.shop.versions.stable.endpoints[1]: a port is missing: 'shop'; write host:port, or unix:/path",
        "8:16: services.shop.versions.canary: unknown key 'endpoint' (did you mean 'endpoints'?)",
        "9:25: services.shop.split: unknown version 'cnary' (did you mean 'canary'?)",
        "10:40: services.shop.health.interval: unknown unit 'x' in '2x'; write it as 30s, 500ms, 10m or 1h30m",
        "10:50: services.shop.health.rise: must be a whole number, not 2.5",
        "11:14: services.shop.balance: must be 'least-request', 'round-robin' or 'hash', not 'leastrequest' "
        "(did you mean 'least-request'?)",
        "12:21: services.shop.expose_version: must be true or false, not 'on'",
        "13:23: services.shop.retries.budget: a share without % lies between 0 and 1; write 20% for per cent",
        "13:27: services.shop.retries.budget: the key 'budget' is given twice; the first is in line 13",
        "15:19: routes[0].match.host: a host is matched without its port: write 'shop.example.com'",
        "15:61: routes[0].match.headers.X-Debug: must be text, and YAML reads 1 as something else; put it in quotes",
        "16:14: routes[0].service: unknown service 'shp' (did you mean 'shop'?)",
        "18:20: rollouts.shop.strategy: must be one of 'canary', 'blue-green', 'rolling', not 'canry' "
        "(did you mean 'canary'?)",
        "19:22: timeouts.response: the variable RESPONSE is not set; set it or RESPONSE_FILE, "
        "or write ${RESPONSE:-default}",
    ]


def test_a_problem_carries_its_parts():
    (problem,) = raised(HEAD + SHOP.replace("canary: 1", "cnary: 1")).problems
    assert problem == Problem(
        path="services.shop.split.cnary",
        message="unknown version 'cnary'",
        line=7,
        column=25,
        suggestion="canary",
        at_key=True,
    )
    assert problem.render("a.yaml") == (
        "a.yaml:7:25: services.shop.split: unknown version 'cnary' (did you mean 'canary'?)"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty; it needs at least listen and services"),
        ("# nothing\n", "1:1: the file is empty; it needs at least listen and services"),
        ("- listen", "1:1: the file must be a mapping of keys such as listen and services"),
        ("shop", "1:1: the file must be a mapping of keys such as listen and services"),
        ("a: 'x", "1:6: a: not valid YAML: while scanning a quoted scalar: found unexpected end of stream"),
        (b"a: \xff", "1:4: not UTF-8 text"),
    ],
)
def test_a_text_that_is_no_configuration_at_all_says_so(text: str | bytes, problem: str):
    assert problems_of(text) == [problem]


def test_what_is_missing_is_reported_where_it_belongs():
    assert problems_of("{workers: 1}") == ["1:1: listen: is required", "1:1: services: is required"]
    assert problems_of(f"{HEAD}services: {{shop: {{}}}}") == ["2:18: services.shop.versions: is required"]
    assert problems_of("{listen: [], services: {}}") == [
        "1:10: listen: must not be empty",
        "1:24: services: must not be empty",
    ]


def test_a_file_is_loaded_with_its_folder_as_the_base_of_paths(tmp_path: Path):
    file = tmp_path / "serinus.yaml"
    file.write_text(HEAD + SHOP + "access_log: {output: logs/access.log}\n")
    config = load(file, {})
    assert config.state_dir == tmp_path / "state"
    assert config.access_log is not None
    assert config.access_log.output == str(tmp_path / "logs" / "access.log")
    assert load(str(file), {}) == config


def test_paths_are_absolute_whatever_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "serinus.yaml").write_text(HEAD + SHOP)
    monkeypatch.chdir(tmp_path)
    assert load("serinus.yaml", {}).state_dir == tmp_path / "state"


def test_a_file_that_cannot_be_read_is_a_problem_without_a_line(tmp_path: Path):
    missing = tmp_path / "missing.yaml"
    with pytest.raises(ConfigError) as caught:
        load(missing)
    assert str(caught.value) == f"{missing}: cannot read the file: No such file or directory"
    with pytest.raises(ConfigError, match="cannot read the file: Is a directory"):
        load(tmp_path)


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match=r"serinus\.yaml: cannot read the file: Permission denied"):
        load(tmp_path / "serinus.yaml")


def test_a_huge_file_is_refused_without_being_read_whole(tmp_path: Path):
    file = tmp_path / "huge.yaml"
    with file.open("wb") as huge:
        huge.truncate(MAX_BYTES * 64)
    with pytest.raises(ConfigError, match="larger than 16 MiB"):
        load(file)


def test_variables_come_from_the_environment_unless_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "serinus.yaml"
    file.write_text(f"listen: [{{address: '127.0.0.1:${{PORT_OF_TEST}}'}}]\nworkers: ${{WORKERS:-2}}\n{ONE}")
    monkeypatch.setitem(os.environ, "PORT_OF_TEST", "8081")
    assert load(file).listen[0].address == TcpAddress("127.0.0.1", 8081)
    assert load(file, {"PORT_OF_TEST": "1", "WORKERS": "4"}).workers == 4


def test_a_service_takes_what_it_does_not_say_from_the_globals():
    config = config_of(
        HEAD
        + "timeouts: {response: 5s, idle: 7s}\nlimits: {body: 1MiB}\n"
        + "services:\n"
        + "  a: {versions: {v1: {}}, timeouts: {idle: 60s}}\n"
        + "  b: {versions: {v1: {}}, limits: {body: 0}}\n"
        + "routes: []\n"
    )
    a, b = config.services["a"], config.services["b"]
    assert (a.timeouts.response, a.timeouts.idle, a.limits.body) == (5.0, 60.0, 2**20)
    assert (b.timeouts.response, b.timeouts.idle, b.limits.body) == (5.0, 7.0, 0)


def test_what_is_global_only_says_where_it_belongs():
    text = f"{HEAD}services: {{shop: {{versions: {{v1: {{}}}}, timeouts: {{head: 1s}}}}}}"
    assert problems_of(text) == [
        "2:50: services.shop.timeouts: 'head' can only be set for all services, in the global timeouts"
    ]


def test_a_single_service_without_routes_gets_every_request():
    assert config_of(HEAD + SHOP).routes == (Route(match=Match(), service="shop"),)
    assert config_of(HEAD + SHOP + "routes: []").routes == ()


def test_several_services_need_routes():
    text = HEAD + "services:\n  a: {versions: {v1: {}}}\n  b: {versions: {v1: {}}}\n"
    assert problems_of(text) == ["1:1: routes are needed, since there are several services"]


def test_a_section_whose_keys_are_all_commented_out_has_its_defaults():
    config = config_of(HEAD + ONE + "admin:\n  # address: 127.0.0.1:1\nlimits:\n")
    assert config.admin.address == TcpAddress("127.0.0.1", 9900)
    assert config.limits.head == 32 * 1024


def test_the_token_is_read_from_its_file(tmp_path: Path):
    (tmp_path / "token").write_text("s3cret\n")
    config = config_of(f"{HEAD}{ONE}admin: {{address: '0.0.0.0:9900', token_file: token}}", folder=tmp_path)
    assert config.admin.token == SecretStr("s3cret")


@pytest.mark.parametrize(
    ("admin", "problem"),
    [
        (
            "{address: '0.0.0.0:9900'}",
            "admin: others can reach 0.0.0.0:9900, so a token is needed: set token_file, or listen on 127.0.0.1",
        ),
        (
            "{address: fd@3}",
            "admin: others can reach fd@3, so a token is needed: set token_file, or listen on 127.0.0.1",
        ),
        ("{token: x, token_file: token}", "admin: takes either token or token_file, not both"),
        ("{token: 's3cret word'}", "admin.token: a token is visible ASCII without spaces, and not empty"),
        ("{token: 5361}", "admin.token: must be text, and YAML reads it as something else; put it in quotes"),
        ("{token_file: missing}", "admin.token_file: no token in '{}/missing': cannot read '{}/missing': No such file"),
        ("{token_file: words}", "admin.token_file: no token in '{}/words': a token is visible ASCII without spaces"),
    ],
)
def test_an_admin_api_that_is_not_safe_is_refused(tmp_path: Path, admin: str, problem: str):
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "words").write_text("s3cret word")
    (found,) = problems_of(f"{HEAD}{ONE}admin: {admin}", folder=tmp_path)
    assert problem.replace("{}", str(tmp_path)) in found
    assert "s3cret" not in found
    assert "5361" not in found


def test_anchors_and_merges_work_and_their_problems_point_at_the_anchor():
    text = (
        HEAD
        + "services:\n"
        + "  a: {versions: {v1: {}}, health: &probe {path: /healthz, interval: 5s}}\n"
        + "  b: {versions: {v1: {}}, health: {<<: *probe, interval: 9s}}\n"
        + "routes: [{service: a}]\n"
    )
    health = config_of(text).services["b"].health
    assert health is not None
    assert (health.path, health.interval) == ("/healthz", 9.0)
    assert problems_of(text.replace("/healthz", "healthz")) == [
        "3:49: services.a.health.path: a path begins with /: 'healthz'",
        "3:49: services.b.health.path: a path begins with /: 'healthz'",
    ]


def test_yaml_12_values_reach_the_configuration_as_written():
    config = config_of(HEAD + ONE + "routes: [{match: {headers: {X-Mode: on, X-Time: 22:22}}, service: shop}]")
    assert dict(config.routes[0].match.headers) == {
        "X-Mode": TextMatch(exact="on"),
        "X-Time": TextMatch(exact="22:22"),
    }


def test_versions_may_be_called_like_numbers():
    config = config_of(HEAD + "services: {shop: {versions: {1.10: {}, 1.9: {}}, split: {1.10: 1, 1.9: 2}}}")
    assert config.services["shop"].weights == {"1.10": 1.0, "1.9": 2.0}
    assert config.services["shop"].stable == "1.9"
