"""Which modules are compiled, and how: found by looking, never listed."""

from pathlib import Path

import pytest

from build_backend import extensions
from build_backend.extensions import discover


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two modules and a header, and a .pyx where none is compiled."""
    for name in ("proxy/core/pick.pyx", "proxy/wire/deep/scan.pyx", "proxy/wire/layout.h", "controller/core/odd.pyx"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.fixture(autouse=True)
def _no_flavour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERINUS_BUILD", raising=False)


def test_every_module_of_the_two_folders_is_found_and_named_by_its_path(project: Path):
    found = {extension.name: extension.sources for extension in discover(project)}
    assert found == {
        "proxy.core.pick": ["proxy/core/pick.pyx"],
        "proxy.wire.deep.scan": ["proxy/wire/deep/scan.pyx"],
    }


def test_all_modules_are_built_again_when_a_header_or_the_flags_change(project: Path):
    assert {tuple(extension.depends) for extension in discover(project)} == {
        ("proxy/wire/layout.h", "build_backend/extensions.py")
    }


def test_the_files_that_a_build_depends_on_exist():
    root = Path(__file__).parents[2]
    missing = [name for extension in discover(root) for name in extension.depends if not (root / name).exists()]
    assert missing == []


def test_a_sanitized_build_checks_what_a_release_does_not(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERINUS_BUILD", "sanitize")
    assert all("-fsanitize=address" in extension.extra_compile_args for extension in discover(project))
    assert all(extension.extra_link_args == ["-fsanitize=address"] for extension in discover(project))
    assert extensions.DIRECTIVES["sanitize"]["boundscheck"]
    assert not extensions.DIRECTIVES["release"]["boundscheck"]


def test_a_build_that_is_fuzzed_is_sanitized_and_reports_edges(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERINUS_BUILD", "fuzz")
    wanted = {"-fsanitize=address", "-fsanitize-coverage=trace-pc,trace-cmp"}
    assert all(wanted <= set(extension.extra_compile_args) for extension in discover(project))
    assert extensions.DIRECTIVES["fuzz"] == extensions.DIRECTIVES["sanitize"]


def test_an_unknown_build_is_refused_with_the_known_ones(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERINUS_BUILD", "sanitise")
    with pytest.raises(SystemExit, match="SERINUS_BUILD='sanitise' is unknown; use release, sanitize or fuzz"):
        discover(project)
