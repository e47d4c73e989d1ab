"""The PEP 517 build backend of this project: setuptools, plus a C compiler where the machine has none.

Owns: the list of packages a build needs. Must not: compile anything (see `extensions`) or look for compilers
itself (see `toolchain`).
"""

from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

from build_backend.toolchain import Machine, required_packages

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """What setuptools wants, plus `ziglang` on a machine without a C compiler.

    Raises:
        BuildImpossible: no build can work here; the message says what to install.
    """
    return [*build_meta.get_requires_for_build_wheel(config_settings), *required_packages(Machine.here())]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """The same for an editable install.

    Raises:
        BuildImpossible: no build can work here; the message says what to install.
    """
    return [*build_meta.get_requires_for_build_editable(config_settings), *required_packages(Machine.here())]
