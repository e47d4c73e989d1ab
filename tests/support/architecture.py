"""The rules of docs and review that a program can check, as functions from sources to complaints.

Owns: the rules. Must not: read files (tests/test_architecture.py does). A complaint is one line: where, what, and what
to do about it.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

# What each part may import of ours. The longest matching name decides. Nothing may import cli, and proxy and controller
# meet over HTTP only.
LAYERS: dict[str, frozenset[str]] = {
    "config": frozenset({"config"}),
    "webapi": frozenset({"config", "webapi"}),
    "proxy.core": frozenset({"config", "proxy.core"}),
    "proxy.wire": frozenset({"config", "proxy.core", "proxy.wire"}),
    "proxy": frozenset({"config", "webapi", "proxy"}),
    "controller.core": frozenset({"config", "controller.core"}),
    "controller": frozenset({"config", "webapi", "controller"}),
    "loadtests": frozenset({"config", "webapi", "proxy", "controller", "loadtests"}),
    "cli": frozenset({"config", "webapi", "proxy", "controller", "loadtests", "cli"}),
}
OURS = frozenset(layer.split(".")[0] for layer in LAYERS)

# Where time, chance and the outside world come from. A core gets them as arguments.
IMPURE_MODULES = frozenset(
    "aiohttp asyncio libc.stdio libc.time logging multiprocessing os posix random secrets select selectors shutil"
    " signal socket ssl subprocess tempfile threading time urllib.request uuid uvloop".split()
)
IMPURE_CALLS = re.compile(r"(?<![\w.])(?:open|print|input)\(|\bdatetime\.(?:now|utcnow|today)\(")
COROUTINE = re.compile(r"^\s*(?:async\s+def\b|async\s+(?:with|for)\b)|\bawait\s+\w")

LINE_LIMIT = 400
BANNED_WORDS = frozenset({"manager", "helper", "util", "handler", "data", "info", "process"})
MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:work|root)/")

CYTHON_IMPORT = re.compile(
    r"""^[ ]* (?: from [ ]+ (?P<module>[\w.]+) [ ]+ c?import [ ]+ (?P<names> \([^)]*\) | [^\n]+ )
                | c?import [ ]+ (?P<plain> [^\n]+ ) )""",
    re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the project; its path is relative to the root."""

    path: PurePosixPath
    text: str

    @classmethod
    def of(cls, path: str, text: str = "") -> "Source":
        """A source from plain strings, for tests."""
        return cls(PurePosixPath(path), text)

    @property
    def is_python(self) -> bool:
        """Python or a stub: something `ast` can read."""
        return self.path.suffix in {".py", ".pyi"}

    @property
    def is_code(self) -> bool:
        """Python or Cython."""
        return self.path.suffix in {".py", ".pyi", ".pyx", ".pxd"}

    @property
    def module(self) -> str:
        """The dotted name it is imported by."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a source imports; `from a import b` gives `a.b`."""
    yield from _python_imports(source) if source.is_python else _cython_imports(source)


def _python_imports(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source.text, str(source.path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _cython_imports(source: Source) -> Iterator[tuple[int, str]]:
    for match in CYTHON_IMPORT.finditer(source.text):
        line = source.text.count("\n", 0, match.start()) + 1
        listed = re.sub(r"#[^\n]*|[()]", "", match["names"] or match["plain"])
        names = [name.split()[0] for name in listed.split(",") if name.strip()]
        yield from ((line, f"{match['module']}.{name}" if match["module"] else name) for name in names)


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def layer_of(module: str) -> str | None:
    """The name in LAYERS that a module falls under, the longest one."""
    return max((layer for layer in LAYERS if _is_within(module, layer)), key=len, default=None)


def wrong_directions(source: Source) -> Iterator[str]:
    """Imports point downward: config ← core ← wire ← shell."""
    layer = layer_of(source.module)
    if layer is None:
        return
    allowed = LAYERS[layer]
    for line, name in imports(source):
        if name.split(".")[0] in OURS and not any(_is_within(name, package) for package in allowed):
            yield (
                f"{source.path}:{line}: {layer} must not import {name}. It may import {', '.join(sorted(allowed))}: "
                "move the shared part down, or pass it in as an argument."
            )


def impurities(source: Source) -> Iterator[str]:
    """Everything under a core/ is pure: no async, clock, randomness, logging, IO."""
    if source.path.parts[0] == "tests" or "core" not in source.path.parts[:-1]:
        return
    for line, name in imports(source):
        if any(_is_within(name, module) for module in IMPURE_MODULES):
            yield f"{source.path}:{line}: a core must not import {name}. Pass in what it gives: `now`, a number, bytes."
    for line, text in enumerate(source.text.splitlines(), start=1):
        code = text.split("#")[0]
        if COROUTINE.search(code):
            yield f"{source.path}:{line}: a core has no coroutines. Return what to do, and let the shell wait."
        if IMPURE_CALLS.search(code):
            yield f"{source.path}:{line}: a core does no IO and reads no clock. Pass in what it needs."


def long_files(source: Source) -> Iterator[str]:
    """A file fits one head."""
    lines = source.text.count("\n")
    if source.path.suffix in {".py", ".pyx"} and lines > LINE_LIMIT:
        yield f"{source.path}: {lines} lines, {LINE_LIMIT} at most. Split it by what its parts own."


def banned_names(source: Source) -> Iterator[str]:
    """Files and classes have names that say what they own."""
    names = [source.path.stem] if source.is_code else []
    names += re.findall(r"^\s*(?:cdef\s+)?class\s+(\w+)", source.text, re.MULTILINE) if source.is_code else []
    for name in names:
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
        for word in {word.lower().removesuffix("s") for word in words} | {word.lower() for word in words}:
            if word in BANNED_WORDS:
                yield f"{source.path}: the word {word} in {name} says nothing. Name it after what it owns or does."


def machine_paths(source: Source) -> Iterator[str]:
    """The project works in any folder of any machine."""
    for line, text in enumerate(source.text.splitlines(), start=1):
        if MACHINE_PATH.search(text):
            yield f"{source.path}:{line}: a path of one machine. Use one relative to the project, or a temporary one."


def missing_stubs(paths: Iterable[PurePosixPath]) -> Iterator[str]:
    """Type checkers see compiled modules only through stubs."""
    known = frozenset(paths)
    for path in sorted(known):
        if path.suffix == ".pyx" and path.with_suffix(".pyi") not in known:
            yield f"{path}: no stub. Write {path.with_suffix('.pyi')} with the signatures that Python code uses."


def missing_packages(paths: Iterable[PurePosixPath]) -> Iterator[str]:
    """A folder without `__init__.py` is left out of the wheel without a word."""
    known = frozenset(paths)
    folders = {path.parent for path in known if path.suffix in {".py", ".pyx"} and path.parts[0] in OURS}
    for folder in sorted(folders):
        if folder / "__init__.py" not in known:
            yield f"{folder}: no __init__.py, so it is not installed. Add one whose docstring says what it owns."
