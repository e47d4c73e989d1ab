"""YAML 1.2 (core schema) with the place of every value.

Owns the reading of YAML text into nodes. Must not know what the text configures.

1. Only `true` and `false` are truth values, `22:22` and `on` are text, `010` is ten (YAML 1.2.2 §10.3.2).
2. Keys are text as written: the key `1.10` is "1.10". A key that is given twice is refused.
3. Everything is bounded: bytes, nesting, and the number of values after aliases are expanded.
4. Reading does not stop at a fault it can go on after; the syntax of YAML itself is not such a one.

PyYAML parses the syntax into events. Its own constructor is not used, because it follows YAML 1.1 and forgets marks.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml
from yaml import events

from config.tree import Document, Entry, Fault, Mark, Node, Scalar

MAX_BYTES: Final = 16 * 2**20
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 200_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.2.2 §10.3.2
NULL: Final = re.compile(r"null|Null|NULL|~|")
BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
# Longer than any number that a float can hold; Python refuses to read integers of many thousands of digits.
_MAX_NUMBER: Final = 400
# YAML 1.2.2 §5.1, without NEL, LS and PS: the parser still takes these for line breaks, and the lines would be wrong.
_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
_CORE_TAG: Final = "tag:yaml.org,2002:"
_TAG_NAMES: Final = {str: "str", int: "int", float: "float", bool: "bool", type(None): "null"}


class _BrokenSyntaxError(Exception):
    """Reading cannot go on."""


@dataclass(frozen=True, slots=True)
class _Key:
    """A key whose value comes next."""

    text: str
    mark: Mark
    is_merge: bool


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being read."""

    mark: Mark
    anchor: str | None
    items: list[Node] | None
    entries: dict[str, Entry] = field(default_factory=dict)
    merges: list[Node] = field(default_factory=list)
    key: _Key | None = None

    @property
    def expects_key(self) -> bool:
        return self.items is None and self.key is None

    @property
    def position(self) -> str | int:
        if self.items is not None:
            return len(self.items)
        return self.key.text if self.key else ""


def read(text: str | bytes, substitute: Callable[[str], str] = str) -> Document:
    """Read one YAML document; `substitute` is applied to every scalar value and may raise ValueError."""
    reader = _Reader(substitute)
    try:
        reader.read(_decoded(text, reader))
    except _BrokenSyntaxError:
        return Document(None, tuple(reader.faults))
    return Document(reader.root, tuple(reader.faults))


def resolve(text: str) -> Scalar:
    """Return what plain text means in the core schema."""
    if NULL.fullmatch(text):
        return None
    if BOOL.fullmatch(text):
        return text[0] in "tT"
    if len(text) > _MAX_NUMBER:
        return text
    if INT.fullmatch(text):
        bases = {"0o": 8, "0x": 16}
        return int(text[2:], bases[text[:2]]) if text[:2] in bases else int(text)
    if FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=[iInN])", "", text))
    return text


class _Reader:
    """Builds nodes from events."""

    def __init__(self, substitute: Callable[[str], str]) -> None:
        self.root: Node | None = None
        self.faults: list[Fault] = []
        self._substitute = substitute
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._has_begun = False

    def read(self, text: str) -> None:
        """Raises _BrokenSyntaxError when reading cannot go on; the reason is in `faults`."""
        for event in self._events(text):
            match event:
                case events.DocumentStartEvent():
                    self._begin(event)
                case events.ScalarEvent():
                    self._read_scalar(event)
                case events.AliasEvent():
                    self._add(None, self._aliased(event))
                case events.MappingStartEvent() | events.SequenceStartEvent():
                    self._open(event)
                case events.MappingEndEvent() | events.SequenceEndEvent():
                    frame = self._stack.pop()
                    self._add(frame.anchor, self._closed(frame))

    def fault(self, mark: Mark, message: str) -> None:
        """Record a fault at the value that is being read."""
        path = tuple(frame.position for frame in self._stack if frame.items is not None or frame.key)
        self.faults.append(Fault(mark, path, message))

    def break_off(self, mark: Mark, message: str) -> NoReturn:
        """Record a fault and stop."""
        self.fault(mark, message)
        raise _BrokenSyntaxError

    def _events(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as exc:
            place: Any = exc.problem_mark or exc.context_mark
            mark = Mark(place.line + 1, place.column + 1)
            reason = ": ".join(part for part in (exc.context, exc.problem) if part)
            self.break_off(mark, f"not valid YAML: {reason}{_hint(text, mark)}")
        except yaml.YAMLError as exc:
            self.break_off(Mark(1, 1), f"not valid YAML: {exc}")

    def _begin(self, event: Any) -> None:
        if self._has_begun:
            self.break_off(_mark(event), "a second document begins here; a file holds one")
        self._has_begun = True

    def _read_scalar(self, event: Any) -> None:
        if self._stack and self._stack[-1].expects_key:
            self._add_key(event)
        else:
            self._add(event.anchor, Node(_mark(event), self._scalar(event)))

    def _add_key(self, event: Any) -> None:
        frame, mark = self._stack[-1], _mark(event)
        if event.anchor:
            self.fault(mark, "a key cannot have an anchor")
        frame.key = _Key(event.value, mark, event.value == "<<" and event.implicit[0])
        first = frame.entries.get(event.value)
        if first is not None and not frame.key.is_merge:
            self.fault(mark, f"the key {event.value!r} is given twice; the first is in line {first.key_mark.line}")

    def _open(self, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self.break_off(_mark(event), f"nested deeper than {MAX_DEPTH} levels")
        is_mapping = isinstance(event, events.MappingStartEvent)
        if self._stack and self._stack[-1].expects_key:
            self.break_off(_mark(event), "a key must be text; put text that begins with { or [ in quotes")
        if event.tag not in {None, "!", _CORE_TAG + ("map" if is_mapping else "seq")}:
            self.fault(_mark(event), f"unknown tag {event.tag!r}")
        self._stack.append(_Frame(_mark(event), event.anchor, None if is_mapping else []))

    def _closed(self, frame: _Frame) -> Node:
        if frame.items is not None:
            return self._measured(frame.mark, tuple(frame.items), frame.items)
        for source in frame.merges:
            for entries in self._merge_sources(source):
                frame.entries |= {key: entry for key, entry in entries.items() if key not in frame.entries}
        return self._measured(frame.mark, frame.entries, [entry.node for entry in frame.entries.values()])

    def _merge_sources(self, source: Node) -> list[dict[str, Entry]]:
        candidates = (
            [node.content for node in source.content] if isinstance(source.content, tuple) else [source.content]
        )
        mappings = [content for content in candidates if isinstance(content, dict)]
        if len(mappings) != len(candidates):
            self.fault(source.mark, "<< takes a mapping or a list of mappings")
        return mappings

    def _measured(self, mark: Mark, content: "tuple[Node, ...] | dict[str, Entry]", children: list[Node]) -> Node:
        values = 1 + sum(child.values for child in children)
        depth = 1 + max((child.depth for child in children), default=0)
        if values > MAX_VALUES:
            self.break_off(mark, f"more than {MAX_VALUES} values, aliases counted each time")
        if depth > MAX_DEPTH:
            self.break_off(mark, f"nested deeper than {MAX_DEPTH} levels")
        return Node(mark, content, values, depth)

    def _add(self, anchor: str | None, node: Node) -> None:
        if anchor:
            self._anchors[anchor] = node
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        if frame.items is not None:
            frame.items.append(node)
        elif frame.key is not None and frame.key.is_merge:
            frame.merges.append(node)
        elif frame.key is not None:
            frame.entries.setdefault(frame.key.text, Entry(frame.key.mark, node))
        frame.key = None

    def _aliased(self, event: Any) -> Node:
        if self._stack and self._stack[-1].expects_key:
            self.break_off(_mark(event), "a key must be text, not an alias")
        node = self._anchors.get(event.anchor)
        if node is None:
            self.fault(_mark(event), f"unknown anchor {event.anchor!r}; an anchor is complete before its first alias")
            return Node(_mark(event), None)
        return node

    def _scalar(self, event: Any) -> Scalar:
        try:
            text = self._substitute(event.value)
        except ValueError as exc:
            self.fault(_mark(event), str(exc))
            return None
        if event.tag is None:
            return resolve(text) if event.implicit[0] else text
        if event.tag in {"!", f"{_CORE_TAG}str"}:
            return text
        value = resolve(text)
        if event.tag != _CORE_TAG + _TAG_NAMES[type(value)]:
            self.fault(_mark(event), f"the value does not fit the tag {event.tag!r}")
        return value


def _decoded(text: str | bytes, reader: _Reader) -> str:
    if len(text) > MAX_BYTES:
        reader.break_off(Mark(1, 1), f"larger than {MAX_BYTES // 2**20} MiB")
    if isinstance(text, bytes):
        text = _utf8(text, reader)
    text = text.removeprefix("\ufeff")
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        code = ord(unprintable.group())
        reader.break_off(
            _mark_after(text[: unprintable.start()]),
            f"the character U+{code:04X} cannot stand in YAML; write it as an escape in double quotes",
        )
    return text


def _utf8(encoded: bytes, reader: _Reader) -> str:
    try:
        return encoded.decode("utf-8")
    except UnicodeDecodeError as exc:
        reader.break_off(_mark_after(encoded[: exc.start].decode("utf-8")), "not UTF-8 text")


def _mark_after(text: str) -> Mark:
    lines = _LINE_BREAK.split(text)
    return Mark(len(lines), len(lines[-1]) + 1)


def _hint(text: str, mark: Mark) -> str:
    """Return what to do about the two slips that are hard to see."""
    lines = _LINE_BREAK.split(text)
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    if line[mark.column - 1 : mark.column] == "\t":
        return "; indent with spaces, not tabs"
    return "; between { } or [ ], put ${VARIABLES} in quotes" if "${" in line else ""


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)
