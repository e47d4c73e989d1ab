"""The PEP 517 hooks: setuptools' own, plus the compiler from PyPI where there is none."""

from collections.abc import Callable

import pytest
from setuptools import build_meta

import build_backend

WITH_COMPILER_HOOKS = [build_backend.get_requires_for_build_wheel, build_backend.get_requires_for_build_editable]


@pytest.mark.parametrize("hook", WITH_COMPILER_HOOKS)
def test_the_packages_for_the_compiler_are_added_to_those_of_setuptools(
    hook: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
):
    for name in ("get_requires_for_build_wheel", "get_requires_for_build_editable"):
        monkeypatch.setattr(build_meta, name, lambda config_settings: ["wheel"])
    monkeypatch.setattr(build_backend, "required_packages", lambda machine: ["ziglang>=0.15"])
    assert hook() == ["wheel", "ziglang>=0.15"]


def test_a_source_distribution_needs_no_compiler():
    assert build_backend.get_requires_for_build_sdist is build_meta.get_requires_for_build_sdist
