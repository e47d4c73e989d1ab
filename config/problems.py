"""Problems: what is wrong with a configuration, where, and what was probably meant.

Owns the words of an error message. Must not know any option by name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""The way to a value: keys of mappings and positions in lists."""

# At difflib's own 0.6, `blue` would be taken for `stable`.
_CLOSE: Final = 0.65


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that is wrong with a tree of values, before its place in the text is known."""

    path: Path
    message: str
    suggestion: str | None = None
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `path` leads to the value, such as `services.shop.split.cnary` or `routes[0].service`; line and column count from 1.
    `at_key` says that the last key itself is wrong, not its value.
    """

    path: str
    message: str
    line: int | None = None
    column: int | None = None
    suggestion: str | None = None
    at_key: bool = False

    def render(self, file: str) -> str:
        """Return one line: `file:12:14: services.shop.split: unknown version 'cnary' (did you mean 'canary'?)`."""
        place = ":".join(str(part) for part in (file, self.line, self.column) if part is not None)
        path = self.path.rpartition(".")[0] if self.at_key else self.path
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion is not None else ""
        return ": ".join(part for part in (place, path, self.message + hint) if part)


class ConfigError(Exception):
    """A configuration cannot be used; `problems` holds everything that is wrong with it, in the order of the file."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(
            sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0, problem.path))
        )
        super().__init__(file, self.problems)

    def __str__(self) -> str:
        return "\n".join(problem.render(self.file) for problem in self.problems)


def render_path(path: Path) -> str:
    """Return a path as text: `routes[0].match.host`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, if any is close."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=_CLOSE)), None)
