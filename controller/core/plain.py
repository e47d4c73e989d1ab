"""State as plain values, which a journal can keep as JSON and give back exactly.

Owns the way there and back. A class names the attributes that make up its state; everything else about it comes from
how it was constructed, so restoring is: construct it alike, then `restore`.

1. State is None, bool, int, float, str, lists of these, dicts from int to int, and objects that are `Stateful`.
2. A float goes through JSON unchanged: `json` writes the shortest text that reads back as the same number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

Plain = dict[str, Any]


class Stateful:
    """Something that changes, and whose state can be kept."""

    STATE: ClassVar[tuple[str, ...]]
    """The names of the attributes that change."""

    def to_plain(self) -> Plain:
        """The state of now, sharing nothing with this object."""
        return {name.lstrip("_"): _plain(getattr(self, name)) for name in self.STATE}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take up the state that `to_plain` gave.

        Raises:
            KeyError: some of it is missing.
        """
        for name in self.STATE:
            current, kept = getattr(self, name), plain[name.lstrip("_")]
            if isinstance(current, Stateful):
                current.restore(kept)
            else:
                setattr(self, name, dict(kept) if isinstance(current, dict) else _plain(kept))


def _plain(value: Any) -> Any:
    if isinstance(value, Stateful):
        return value.to_plain()
    if isinstance(value, dict):
        return [[key, count] for key, count in value.items()]  # the keys of JSON objects are texts
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
