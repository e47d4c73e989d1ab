"""Chooses the C compiler: the machine's own, or the one PyPI has (`ziglang`), or a message that says what to install.

Owns: that choice. Must not: compile, download, or write anything.

Run as a program (`python build_backend/toolchain.py`) it prints the packages that a build here needs, one a line: those
that pyproject.toml declares, and the compiler if need be. It needs nothing but Python.
"""

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ZIG_PACKAGE = "ziglang>=0.15"

# The Linux wheels of ziglang; each serves glibc and musl.
ZIG_ARCHITECTURES = frozenset({"aarch64", "armv7l", "i686", "ppc64le", "riscv64", "s390x", "x86_64"})

# CPU features: only what every machine of the architecture has, because a container image built here runs elsewhere.
ZIG_COMPILE = ("-mcpu=baseline", "-fPIC", "-fwrapv", "-DNDEBUG")
ZIG_LINK = ("-mcpu=baseline", "-shared")

_INSTALL_COMPILER = (
    "Install a C compiler: apt-get install gcc libc6-dev (Debian, Ubuntu), dnf install gcc (Fedora), "
    "apk add gcc musl-dev (Alpine), xcode-select --install (macOS); or name one in the environment variable CC."
)
_INSTALL_HEADERS = (
    "Install them: apt-get install python3-dev (Debian, Ubuntu), dnf install python3-devel (Fedora), "
    "apk add python3-dev (Alpine); for another Python the package of that version, such as python3.12-dev."
)


class BuildImpossible(SystemExit):
    """No build can work on this machine. A SystemExit, so that pip shows the message and no traceback."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the choice depends on."""

    system: str  # as platform.system() says: "Linux", "Darwin"
    architecture: str  # as platform.machine() says: "x86_64", "aarch64"
    compiler: str | None  # the C compiler found, None without one
    headers: Path  # the folder in which Python.h belongs
    has_headers: bool
    has_zig: bool  # ziglang is importable by this interpreter

    @classmethod
    def here(cls) -> "Machine":
        """This machine, as this interpreter sees it."""
        headers = Path(sysconfig.get_path("include"))
        return cls(
            system=platform.system(),
            architecture=platform.machine(),
            compiler=find_compiler(os.environ, shutil.which, sysconfig.get_config_var("CC") or ""),
            headers=headers,
            has_headers=(headers / "Python.h").exists(),
            has_zig=importlib.util.find_spec("ziglang") is not None,
        )


def find_compiler(environ: Mapping[str, str], which: Callable[[str], str | None], configured: str) -> str | None:
    """The C compiler of the machine.

    $CC when set (the user knows best), else the command this Python was built with if it is here, else the first of
    cc, gcc and clang on PATH.
    """
    if environ.get("CC"):
        return environ["CC"]
    candidates = [configured, "cc", "gcc", "clang"]
    return next((command for command in candidates if command and which(command.split()[0])), None)


def required_packages(machine: Machine) -> list[str]:
    """The packages that a build on this machine needs besides the declared ones.

    Raises:
        BuildImpossible: nothing from PyPI would make the build work.
    """
    _require_headers(machine)
    if machine.compiler:
        return []
    if machine.system != "Linux" or machine.architecture not in ZIG_ARCHITECTURES:
        raise BuildImpossible(
            "serinus: there is no C compiler (neither $CC nor cc, gcc or clang on PATH), and PyPI's compiler, ziglang, "
            f"cannot stand in: no wheel for {machine.system} {machine.architecture}. {_INSTALL_COMPILER}"
        )
    return [ZIG_PACKAGE]


def zig_commands(python: str) -> dict[str, list[str]]:
    """The commands of ziglang, by the names that the compiler object of setuptools has for them.

    The flags this Python was built with are left out: they are for another compiler (-specs=…, -flto=auto).
    """
    zig = [python, "-m", "ziglang", "cc"]
    return {"compiler": [*zig, *ZIG_COMPILE], "compiler_so": [*zig, *ZIG_COMPILE], "linker_so": [*zig, *ZIG_LINK]}


def check(machine: Machine) -> None:
    """Check that a build can start now, with what is installed.

    Raises:
        BuildImpossible: it cannot; the message says what to install.
    """
    _require_headers(machine)
    if not machine.compiler and not machine.has_zig:
        raise BuildImpossible(
            "serinus: there is no C compiler (neither $CC nor cc, gcc or clang on PATH) and ziglang is not installed "
            f"here. Install it: {sys.executable} -m pip install '{ZIG_PACKAGE}'. Or: {_INSTALL_COMPILER}"
        )


def _require_headers(machine: Machine) -> None:
    if not machine.has_headers:
        raise BuildImpossible(f"serinus: Python.h is missing from {machine.headers}. {_INSTALL_HEADERS}")


def declared_packages(project: Path) -> list[str]:
    """What pyproject.toml says that every build needs."""
    requires: list[str] = tomllib.loads((project / "pyproject.toml").read_text())["build-system"]["requires"]
    return requires


if __name__ == "__main__":
    print(*declared_packages(Path(__file__).parents[1]), *required_packages(Machine.here()), sep="\n")
