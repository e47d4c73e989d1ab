"""The examples that we ship load, fit the JSON Schema, and between them show every option."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import config
from config.load import load, loads
from config.schema import json_schema
from config.show import render
from config.yaml12 import read

FOLDER = Path(config.__file__).parent / "examples"
EXAMPLES = ["minimal", "canary", "blue-green", "header-routing", "full"]


def _listed(value: Any) -> Any:
    """JSON Schema knows lists, not tuples."""
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def test_there_are_no_other_examples():
    assert {path.stem for path in FOLDER.iterdir()} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads_and_what_is_shown_of_it_loads_to_the_same(name: str):
    configuration = load(FOLDER / f"{name}.yaml", {})
    assert loads(render(configuration), environ={}) == configuration


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_fits_the_schema(name: str):
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator(json_schema()).validate(_listed(read(text).plain()))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_tells_editors_where_the_schema_is(name: str):
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=serinus.schema.json\n")


def test_the_full_example_names_every_option():
    text = (FOLDER / "full.yaml").read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z_]+(?=:)|(?<=\{)exact", text))
    schema = json_schema()
    options = {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}
    assert options - words == set()


def test_the_full_example_shows_the_defaults_of_the_whole_proxy():
    full, minimal = load(FOLDER / "full.yaml", {}), load(FOLDER / "minimal.yaml", {})
    for part in ("admin", "workers", "drain_timeout", "access_log", "limits", "timeouts", "metrics"):
        assert getattr(full, part) == getattr(minimal, part)


def test_the_commented_options_of_the_full_example_load_too(tmp_path: Path):
    text = (FOLDER / "full.yaml").read_text(encoding="utf-8")
    for name in ("admin", "controller", "ci"):
        (tmp_path / f"{name}.token").write_text(name)
    (tmp_path / "cookie.secret").write_text("0123456789abcdef")
    for option in ("token_file", "tokens", "cookie_secret_file"):
        text = text.replace(f"# {option}:", f"{option}:")
    configuration = loads(text, folder=tmp_path, environ={})
    assert configuration.admin.token is not None
    assert [token.name for token in configuration.admin.tokens] == ["ci"]
    assert configuration.controller.token is not None
    assert configuration.cookie_secret_file is not None
