"""Compiles the Cython modules: every *.pyx below `proxy/core` and `proxy/wire`, found by looking.

Owns: compiler directives and flags. Must not: choose the compiler (see `toolchain`).

The generated C goes to build/cython, objects and libraries below build/, so that the next build repeats only what
changed. `SERINUS_BUILD=sanitize` builds with every check that Cython and the C compiler have (AddressSanitizer);
run such a build with LD_PRELOAD set to the compiler's libasan. `SERINUS_BUILD=fuzz` reports every edge besides, to
whoever defines the functions that gcc calls for that (tests/fuzz/coverage.c).
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension
from setuptools.command.build_ext import build_ext

from build_backend.toolchain import Machine, check, zig_commands

SOURCE_FOLDERS = ("proxy/core", "proxy/wire")

RELEASE = "release"
SANITIZE = "sanitize"
FUZZ = "fuzz"

_CHECKED = {"boundscheck": True, "wraparound": False, "initializedcheck": True, "cdivision": False, "nonecheck": True}
_SANITIZED = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address", "-UNDEBUG"]
DIRECTIVES = {
    RELEASE: {"boundscheck": False, "wraparound": False, "initializedcheck": False, "cdivision": True},
    SANITIZE: _CHECKED,
    FUZZ: _CHECKED,
}
COMPILE_FLAGS = {
    RELEASE: ["-O2", "-g1"],
    SANITIZE: _SANITIZED,
    FUZZ: [*_SANITIZED, "-fsanitize-coverage=trace-pc,trace-cmp"],
}
LINK_FLAGS = {RELEASE: [], SANITIZE: ["-fsanitize=address"], FUZZ: ["-fsanitize=address"]}


def flavour() -> str:
    """What $SERINUS_BUILD asks for, `release` when it is not set.

    Raises:
        SystemExit: it is none of them.
    """
    name = os.environ.get("SERINUS_BUILD") or RELEASE
    if name not in DIRECTIVES:
        raise SystemExit(f"serinus: SERINUS_BUILD={name!r} is unknown; use {RELEASE}, {SANITIZE} or {FUZZ}.")
    return name


def discover(root: Path, source_folders: Sequence[str] = SOURCE_FOLDERS) -> list[Extension]:
    """One extension for each .pyx; all are built again when a header or these flags change."""
    name = flavour()
    folders = [root / folder for folder in source_folders]
    headers = sorted(header for folder in folders for header in folder.rglob("*.h"))
    depends = [*(str(header.relative_to(root)) for header in headers), "build_backend/extensions.py"]
    return [
        Extension(
            ".".join(source.relative_to(root).with_suffix("").parts),
            [str(source.relative_to(root))],
            depends=depends,
            include_dirs=["."],
            extra_compile_args=COMPILE_FLAGS[name],
            extra_link_args=LINK_FLAGS[name],
        )
        for folder in folders
        for source in sorted(folder.rglob("*.pyx"))
    ]


class BuildExtensions(build_ext):
    """`build_ext` with our directives, our folders, and zig where the machine has no compiler."""

    def initialize_options(self) -> None:
        """Compile on all cores unless told otherwise (-j N)."""
        super().initialize_options()
        self.parallel = os.cpu_count()

    def finalize_options(self) -> None:
        """Keep objects between builds in place: an editable install would put them into a temporary folder."""
        super().finalize_options()
        if self.inplace or self.editable_mode:
            folder = f"build/{flavour()}-{sys.implementation.cache_tag}"
            self.build_lib, self.build_temp = f"{folder}/lib", f"{folder}/objects"

    def run(self) -> None:
        """Check the machine first: a compiler's own complaint would say less.

        Raises:
            BuildImpossible: the machine lacks something; the message says what to install.
        """
        self.machine = Machine.here()
        check(self.machine)
        if self.machine.compiler:
            os.environ.setdefault("CC", self.machine.compiler)
        super().run()

    def build_extensions(self) -> None:
        """Translate all modules at once (they share declarations), then compile them side by side."""
        if not self.machine.compiler:
            self.compiler.set_executables(**zig_commands(sys.executable))
        translated = cythonize(  # type: ignore[no-untyped-call]  # as published
            [Extension(extension.name, extension.sources) for extension in self.extensions],
            build_dir=f"build/cython/{flavour()}",
            include_path=["."],
            compiler_directives={"language_level": 3, **DIRECTIVES[flavour()]},
            force=self.force,
            nthreads=self.parallel or 0,
        )
        sources = {extension.name: extension.sources for extension in translated}
        for extension in self.extensions:
            extension.sources = sources[extension.name]
        super().build_extensions()

    def copy_extensions_to_source(self) -> None:
        """Copy always: the newer library beside the source may be that of the other flavour."""
        self.force = True
        super().copy_extensions_to_source()
