"""The project keeps its own rules: import directions, pure cores, sizes, names, stubs.

The first half reads the project; the second shows for each rule a source that breaks it and one that does not.
"""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.support.architecture import (
    LINE_LIMIT,
    OURS,
    Source,
    banned_names,
    imports,
    impurities,
    long_files,
    machine_paths,
    missing_packages,
    missing_stubs,
    wrong_directions,
)

ROOT = Path(__file__).parents[1]
FOLDERS = [*sorted(OURS), "build_backend", "deploy", "docs", "tests", ".ci"]
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})
TEXT = frozenset(
    {"", ".cfg", ".css", ".h", ".html", ".in", ".js", ".json", ".md", ".pxd", ".py", ".pyi", ".pyx", ".sh", ".toml"}
    | {".service", ".yaml", ".yml"}
)

Rule = Callable[[Source], Iterator[str]]


def _project_files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file())


def _project_sources() -> list[Source]:
    return [
        Source(PurePosixPath(path.relative_to(ROOT).as_posix()), path.read_text(encoding="utf-8"))
        for path in sorted(_project_files())
        if path.suffix in TEXT and not SKIPPED_FOLDERS.intersection(path.parts)
    ]


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return _project_sources()


@pytest.mark.parametrize("rule", [wrong_directions, impurities, banned_names, long_files, machine_paths])
def test_every_file_keeps_the_rule(rule: Rule, sources: list[Source]):
    assert [complaint for source in sources for complaint in rule(source)] == []


@pytest.mark.parametrize("rule", [missing_stubs, missing_packages])
def test_the_tree_keeps_the_rule(rule: Callable[[list[PurePosixPath]], Iterator[str]], sources: list[Source]):
    assert list(rule([source.path for source in sources])) == []


@pytest.mark.parametrize("package", sorted(OURS))
def test_every_package_is_in_the_wheel_and_in_the_image(package: str):
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert {package, f"{package}.*"} <= set(pyproject["setuptools"]["packages"]["find"]["include"])
    assert package in pyproject["mypy"]["packages"]
    assert package in pyproject["ruff"]["lint"]["isort"]["known-first-party"]
    assert f"!{package}" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


# --- the rules themselves ---------------------------------------------------------------------------------------------


def complaints(rule: Rule, path: str, text: str = "") -> list[str]:
    return list(rule(Source.of(path, text)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("config/model.py", "import proxy"),
        ("config/model.py", "import webapi.call"),
        ("webapi/app.py", "from proxy.core.live import Refused"),
        ("proxy/core/live.py", "from webapi.problem import Denied"),
        ("config/model.py", "from controller.core import analyse"),
        ("proxy/worker.py", "from controller.loop import run"),
        ("controller/loop.py", "def f():\n    import proxy.worker"),
        ("proxy/core/routing.py", "from proxy.wire.http1 import scan"),
        ("proxy/core/routing.py", "from proxy import worker"),
        ("proxy/core/routing.py", "from proxy import admin as core"),
        ("proxy/wire/http1.pyx", "from proxy.worker cimport Worker"),
        ("proxy/wire/http1.pyx", "cimport proxy.worker"),
        ("proxy/wire/http1.pyi", "import proxy.worker"),
        ("proxy/wire/pool.pxd", "from proxy cimport (\n    core,\n    worker,  # no\n)"),
        ("controller/core/decide.py", "import controller.loop"),
        ("proxy/worker.py", "from cli.main import main"),
        ("loadtests/run.py", "import cli"),
    ],
)
def test_an_upward_or_sideways_import_is_refused(path: str, text: str):
    found = complaints(wrong_directions, path, text)
    assert len(found) == 1
    assert "must not import" in found[0]
    assert "move the shared part down" in found[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("config/model.py", "from config.units import parse\nimport yaml"),
        ("proxy/core/routing.py", "from config import model\nfrom proxy.core.errors import X\nfrom proxy import core"),
        (
            "proxy/wire/http1.pyx",
            "from proxy.wire.pool cimport Pool\nfrom proxy.core import routing\nimport configparser",
        ),
        ("webapi/app.py", "from config.admin import Admin\nfrom webapi.gate import Gate"),
        ("proxy/admin/app.py", "from webapi.app import create_app"),
        ("proxy/worker.py", "from proxy.wire import http1\nfrom proxy.core import routing"),
        ("cli/main.py", "from proxy.supervisor import run\nfrom controller.loop import run as run_controller"),
        ("tests/cli/test_main.py", "from cli.main import main"),
    ],
)
def test_a_downward_import_is_allowed(path: str, text: str):
    assert complaints(wrong_directions, path, text) == []


def test_imports_are_found_with_their_lines_in_python_and_cython():
    python = Source.of("proxy/a.py", "import os, time as t\n\n\nfrom config import model, load\n")
    cython = Source.of(
        "proxy/wire/a.pyx",
        'import os, time as t\ncdef extern from "a.h":\n    int x\n'
        "from libc.string cimport memcpy\nfrom a cimport (b,\n c)\n",
    )
    assert list(imports(python)) == [(1, "os"), (1, "time"), (4, "config.model"), (4, "config.load")]
    assert list(imports(cython)) == [(1, "os"), (1, "time"), (4, "libc.string.memcpy"), (5, "a.b"), (5, "a.c")]


@pytest.mark.parametrize(
    "text",
    [
        *("import asyncio", "import time", "import random", "import logging", "import socket", "from os import path"),
        *("import ssl", "from threading import Lock", "import subprocess", "import os.path", "import urllib.request"),
        *("async def f(): ...", "x = open('a')", "print('a')", "now = datetime.now()"),
    ],
)
@pytest.mark.parametrize("path", ["proxy/core/routing.py", "controller/core/decide.py", "proxy/core/fast.pyx"])
def test_a_core_that_touches_the_world_is_refused(path: str, text: str):
    assert len(complaints(impurities, path, text)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("proxy/core/routing.py", "import math\nfrom datetime import timedelta\nimport hashlib\n# print(x), open(y)"),
        ("proxy/core/breaker.py", "def reopen(breaker): ...\nbreaker.open()\nreopen(breaker)"),
        ("proxy/worker.py", "import asyncio, time\nasync def f(): ..."),
    ],
)
def test_a_pure_core_and_an_impure_shell_are_allowed(path: str, text: str):
    assert complaints(impurities, path, text) == []


@pytest.mark.parametrize("suffix", ["py", "pyx"])
def test_a_file_may_have_400_lines_and_no_more(suffix: str):
    assert complaints(long_files, f"proxy/a.{suffix}", "\n" * LINE_LIMIT) == []
    assert complaints(long_files, f"proxy/a.{suffix}", "\n" * (LINE_LIMIT + 1)) == [
        f"proxy/a.{suffix}: 401 lines, 400 at most. Split it by what its parts own."
    ]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("proxy/utils.py", ""),
        ("proxy/process_pool.py", ""),
        ("proxy/pool.py", "class PoolManager:\n    pass"),
        ("proxy/wire/pool.pyx", "cdef class DataBuffer:\n    pass"),
    ],
)
def test_an_empty_word_in_the_name_of_a_file_or_class_is_refused(path: str, text: str):
    assert len(complaints(banned_names, path, text)) == 1


def test_words_that_only_contain_a_banned_word_are_allowed():
    assert complaints(banned_names, "proxy/database.py", "class Processor: ...\ndef data_received(data): ...") == []


@pytest.mark.parametrize("folder", ["work", "root"])
def test_a_path_of_one_machine_is_refused(folder: str):
    assert len(complaints(machine_paths, "docs/a.md", f"first\nsee /{folder}/serinus/a.py")) == 1
    assert complaints(machine_paths, "docs/a.md", f"https://example.com/{folder}/a and ./{folder}/a") == []


def test_a_compiled_module_needs_a_stub():
    module, stub = PurePosixPath("proxy/wire/a.pyx"), PurePosixPath("proxy/wire/a.pyi")
    assert list(missing_stubs([module, stub])) == []
    assert list(missing_stubs([module])) == [
        "proxy/wire/a.pyx: no stub. Write proxy/wire/a.pyi with the signatures that Python code uses."
    ]


def test_a_folder_of_code_needs_an_init_file():
    module, package = PurePosixPath("proxy/admin/app.py"), PurePosixPath("proxy/admin/__init__.py")
    assert list(missing_packages([module, package])) == []
    assert len(list(missing_packages([module]))) == 1
    assert list(missing_packages([PurePosixPath("tests/proxy/test_a.py")])) == []
