"""Showing a configuration: as a file with every default written out.

Owns the rendering. What it returns loads again to the equal configuration; a token is never shown.
"""

import re
from typing import Any, Final

import yaml
from pydantic import SecretStr

from config.environment import escape
from config.model import Config
from config.yaml12 import BOOL, FLOAT, INT, NULL

TOKEN_VARIABLE: Final = "${SERINUS_TOKEN}"
"""What stands for a token that has no file of its own."""
_LINE_BREAKS: Final = "\n\r\x85\u2028\u2029"
_WIDTH: Final = 120


class _Dumper(yaml.SafeDumper):
    """Writes plain what YAML 1.2 reads as it was meant, and repeats values instead of naming them with anchors."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML keeps its rules on the class

    def ignore_aliases(self, value: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if any(character in text for character in _LINE_BREAKS) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
for _tag, _pattern in {"null": NULL, "bool": BOOL, "int": INT, "float": FLOAT, "merge": re.compile("<<")}.items():
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern.pattern})\Z"), None)


def plain(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values, as a file would say them."""
    presentable = _presentable(config.model_dump(by_alias=True))
    assert isinstance(presentable, dict)
    return presentable


def render(config: Config) -> str:
    """Return the configuration as YAML text."""
    return to_yaml(plain(config))


def token_variable(name: str) -> str:
    """What stands for the token of this name: `${SERINUS_TOKEN_CI}`."""
    return f"${{SERINUS_TOKEN_{re.sub('[^A-Za-z0-9]', '_', name).upper()}}}"


def to_yaml(value: object) -> str:
    """Return plain values as YAML 1.2 text."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=_WIDTH)


def _presentable(value: object) -> object:
    match value:
        case SecretStr():
            return TOKEN_VARIABLE
        case str():
            return escape(value)
        case dict():
            hidden = {"token"} if value.get("token_file") else set()
            shown = {key: _presentable(item) for key, item in value.items() if item is not None and key not in hidden}
            if {"name", "role", "token"} <= shown.keys():
                shown["token"] = token_variable(value["name"])
            return shown
        case list() | tuple():
            return [_presentable(item) for item in value]
        case _:
            return value
