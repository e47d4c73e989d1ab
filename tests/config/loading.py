"""Loading for tests: a small valid configuration to vary, and the problems of a text."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from config.load import loads
from config.model import Config
from config.problems import ConfigError, Problem

HEAD = "listen: [{address: 127.0.0.1:8080}]\n"
SHOP = """\
services:
  shop:
    versions:
      stable: {endpoints: ["127.0.0.1:9001"]}
      canary: {endpoints: ["127.0.0.1:9003"]}
    split: {stable: 99, canary: 1}
"""
ONE = "services: {shop: {versions: {v1: {endpoints: ['127.0.0.1:9001']}}}}\n"


def config_of(text: str, environ: Mapping[str, str] | None = None, folder: Path = Path("/srv")) -> Config:
    """The configuration in a text, with no environment but this one."""
    return loads(text, environ=environ or {}, folder=folder)


def problems_of(text: str | bytes, environ: Mapping[str, str] | None = None, folder: Path = Path("/srv")) -> list[str]:
    """The problems of a text, as `line:column: path: message`."""
    return [problem.render("").removeprefix(":") for problem in raised(text, environ, folder).problems]


def raised(text: str | bytes, environ: Mapping[str, str] | None = None, folder: Path = Path("/srv")) -> ConfigError:
    """The error that loading the text raises."""
    with pytest.raises(ConfigError) as caught:
        loads(text, environ=environ or {}, folder=folder)
    assert all(isinstance(problem, Problem) for problem in caught.value.problems)
    return caught.value
