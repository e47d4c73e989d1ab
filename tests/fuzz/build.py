"""Compiles the whole project once more, to be fuzzed: in build/fuzz, so that the usual build stays as it is.

Owns that folder. Must not run anything in it. What has not changed is not compiled again.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREE = ROOT / "build" / "fuzz"
FUZZER = TREE / "fuzzer.so"
#: What the fuzzed modules are made of, and what runs beside them.
PARTS = ("build_backend", "config", "proxy", "tests/fuzz", "tests/support")
KEPT = frozenset({".dict", ".py", ".pyx", ".pxd", ".pyi", ".h", ".c", ".json"})
#: The compiler of Debian and of everybody's machine; clang has another interface for edges.
COMPILER = "gcc"
SETUP = (
    "from pathlib import Path; from setuptools import setup;"
    "from build_backend.extensions import SOURCE_FOLDERS, BuildExtensions, discover;"
    "setup(name='fuzzed', packages=[], ext_modules=discover(Path(), (*SOURCE_FOLDERS, 'tests/fuzz')),"
    " cmdclass={'build_ext': BuildExtensions}, script_args=['--quiet', 'build_ext', '--inplace'])"
)


def missing() -> str | None:
    """What the machine lacks for such a build; None: nothing."""
    if shutil.which(COMPILER) is None:
        return f"{COMPILER} is not installed"
    for library, package in (("libasan.so", "gcc"), ("libstdc++.so", "g++")):
        if not Path(_library(library)).is_file():
            return f"{library} is not installed; on Debian it comes with {package}"
    return None if _archive() else "atheris is not installed: PyPI has no wheel of it for this machine"


def build() -> Path:
    """Bring build/fuzz up to date; the folder to run in."""
    for part in PARTS:
        _copy(ROOT / part, TREE / part)
    environ = {**os.environ, "SERINUS_BUILD": "fuzz", "PYTHONPATH": "."}
    environ.setdefault("CC", COMPILER)
    subprocess.run([sys.executable, "-c", SETUP], cwd=TREE, env=environ, check=True)
    _link_fuzzer()
    return TREE


def environment() -> dict[str, str]:
    """What a program that uses this build must be started with.

    libFuzzer comes first, because libasan has empty functions of the same names; libstdc++ is there before libasan
    looks for the function that throws. The data path's buffers are from malloc, so Python may keep its own allocator.
    """
    libraries = [str(FUZZER), _library("libasan.so"), _library("libstdc++.so")]
    return {
        **os.environ,
        "PYTHONPATH": str(TREE),
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0",
    }


def _link_fuzzer() -> None:
    """libFuzzer, which atheris brings as an archive, and our counters in one library."""
    source = TREE / "tests/fuzz/coverage.c"
    if FUZZER.exists() and FUZZER.stat().st_mtime >= source.stat().st_mtime:
        return
    # -z muldefs: the first definition is taken, and that is ours.
    whole = ["-Wl,-z,muldefs", "-Wl,--whole-archive", str(_archive()), "-Wl,--no-whole-archive"]
    command = [COMPILER, "-O2", "-shared", "-fPIC", "-o", str(FUZZER), str(source), *whole]
    subprocess.run([*command, "-lstdc++", "-lpthread", "-ldl", "-lm"], check=True)


def _archive() -> Path | None:
    """libFuzzer as atheris brings it; None without atheris."""
    found = importlib.util.find_spec("atheris")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parents[1] / "libclang_rt.fuzzer_no_main.a"


def _library(name: str) -> str:
    """Where gcc has this library."""
    said = subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def _copy(source: Path, target: Path) -> None:
    """Copy what is newer, with its time, and remove what is gone."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if path.suffix in KEPT and path.is_file()}
    for name in wanted:
        ours, theirs = source / name, target / name
        if not theirs.exists() or theirs.stat().st_mtime != ours.stat().st_mtime:
            theirs.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ours, theirs)
    for path in list(target.rglob("*")):
        if path.suffix in KEPT and path.relative_to(target) not in wanted:
            path.unlink()
