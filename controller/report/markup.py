"""Markup that cannot be broken by what is put into it.

Owns escaping. What comes out is well-formed XML and HTML alike: attributes are quoted, elements closed.

1. A `str` is a text and is escaped; only a `Markup` is taken as it is, and only this module makes one from a text.
2. Characters that no document may hold, and those that turn the direction of what follows, become U+FFFD.
"""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any, Final

# XML 1.0 §2.2, and the explicit directional characters of UAX #9, with which a name could rewrite its surroundings.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
_VOID: Final = frozenset({"br", "col", "hr", "img", "link", "meta"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def clean(text: str) -> str:
    """A text without what no document may hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def el(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """An element. `class_` is `class`, `data_x` is `data-x`; an attribute that is None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written} />")
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Several texts and elements, one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else escape(clean(child)) for child in children))


def embedded(value: Any) -> Markup:
    """A value as JSON that may stand in a script element: without any character that means something there."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _value(value: str | float) -> str:
    return escape(clean(value)) if isinstance(value, str) else number(value)
