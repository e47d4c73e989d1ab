"""Key sources: where the key of a user comes from, for sticky splits and hashing.

Owns the grammar of `header:NAME`, `cookie:NAME`, `own-cookie` and `ip`.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from config.texts import TOKEN
from config.units import shorten

_SOURCE: Final = re.compile(rf"(header|cookie):({TOKEN})|own-cookie|ip")


@dataclass(frozen=True, slots=True)
class KeySource:
    """One place that a key can come from; `name` is set for headers and cookies."""

    kind: Literal["header", "cookie", "own-cookie", "ip"]
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def parse_key_source(value: object) -> KeySource:
    """Return the key source that `value` names.

    Raises:
        ValueError: `value` is none.
    """
    if isinstance(value, KeySource):
        return value
    match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"not a key: {shorten(value)}; write header:NAME, cookie:NAME, own-cookie or ip")
    kind: Any = match[1] or match[0]
    return KeySource(kind, match[2] or "")


KeySourceText = Annotated[
    KeySource,
    PlainValidator(parse_key_source),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{_SOURCE.pattern})$"}),
]
