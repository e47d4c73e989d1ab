"""The tree of a document: values with their places.

Owns nodes, marks and the way from a path to a place. Must not know YAML or what the document configures.
"""

from dataclasses import dataclass
from typing import TypeAlias

from config.problems import Path

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the text; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be read."""

    mark: Mark
    path: Path
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value with its place. Aliases share the node of their anchor, so nodes form a graph without cycles."""

    mark: Mark
    content: "Scalar | tuple[Node, ...] | dict[str, Entry]"
    values: int = 1
    """The number of values below and including this one, aliases expanded."""
    depth: int = 1
    """The number of levels below and including this one."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """The place of a key, and its value."""

    key_mark: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: the part of it that exists, and the marks of its last key and of its value."""

    path: Path
    key_mark: Mark
    mark: Mark


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: the root (None for an empty text, or when the syntax is broken) and the faults found."""

    root: Node | None
    faults: tuple[Fault, ...] = ()

    def plain(self) -> object:
        """Return the values without their places: dict, tuple and scalars."""
        return _plain(self.root, {}) if self.root else None

    def find(self, path: Path) -> Place:
        """Return the place of the longest part of `path` that exists."""
        if self.root is None:
            return Place((), Mark(1, 1), Mark(1, 1))
        entry, found = Entry(self.root.mark, self.root), 0
        for part in path:
            below = _step(entry.node, part)
            if below is None:
                break
            entry, found = below, found + 1
        return Place(path[:found], entry.key_mark, entry.node.mark)


def _step(node: Node, part: str | int) -> Entry | None:
    match node.content:
        case dict() as entries:
            return entries.get(str(part))
        case tuple() as items if isinstance(part, int) and part < len(items):
            return Entry(items[part].mark, items[part])
        case _:
            return None


def _plain(node: Node, seen: dict[int, object]) -> object:
    """Return the value of a node; shared nodes give shared values, so that aliases cost nothing."""
    if id(node) not in seen:
        match node.content:
            case dict() as entries:
                seen[id(node)] = {key: _plain(entry.node, seen) for key, entry in entries.items()}
            case tuple() as items:
                seen[id(node)] = tuple(_plain(item, seen) for item in items)
            case scalar:
                seen[id(node)] = scalar
    return seen[id(node)]
