"""Quantities in the configuration: durations, sizes, shares, weights and ranges of statuses.

Each type is a plain number in memory (seconds, bytes, ratio) with its check, its text form and its JSON Schema.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from config.units import parse_duration, parse_share, parse_size, render_duration, render_share, render_size, shorten
from config.values import is_off

N = TypeVar("N", int, float)

DURATION_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(d|h|ms|us|µs|m|s))+$|^[0-9]+(\.[0-9]+)?$"
SIZE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)? ?([KMGT]iB|[kKMGT]B|B)?$"
SHARE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)? ?%$|^[01](\.[0-9]+)?$"
_MAX_WEIGHT: Final = 1e9
_MIN_HEAD: Final = 64
_MAX_HEAD: Final = 128 * 2**10
_STATUSES: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class StatusRange:
    """The statuses from `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, status: int) -> bool:
        return self.low <= status <= self.high

    def __str__(self) -> str:
        return f"{self.low}-{self.high}" if self.low != self.high else f"{self.low}"


def parse_statuses(value: object) -> StatusRange:
    """Return the range that `200` or `200-399` names.

    Raises:
        ValueError: `value` is neither.
    """
    if isinstance(value, StatusRange):
        return value
    match = None if isinstance(value, bool) else _STATUSES.fullmatch(str(value))
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if low > high:
        raise ValueError(f"not a status or a range of statuses: {shorten(value)}; write 200 or 200-399")
    return StatusRange(low, high)


def render_number(number: float) -> int | float:
    """Return the number as an integer when it is one, since `10` reads better than `10.0`."""
    return int(number) if float(number).is_integer() else number


def _positive(parse: Callable[[object], float]) -> Callable[[object], float]:
    def check(value: object) -> float:
        number = parse(value)
        if number == 0:
            raise ValueError("must be more than 0")
        return number

    return check


def _zero_when_off(parse: Callable[[object], N]) -> Callable[[object], N]:
    def check(value: object) -> N:
        return parse(0 if value is not None and is_off(value) else value)

    return check


def _head_size(value: object) -> int:
    size = parse_size(value)
    if not _MIN_HEAD <= size <= _MAX_HEAD:
        raise ValueError(f"must lie between {render_size(_MIN_HEAD)} and {render_size(_MAX_HEAD)}")
    return size


def _percent(value: object) -> float:
    """Return a number of per cent: `10` and `10%` are the same."""
    if isinstance(value, str) and value.endswith("%"):
        parse_share(value)
        value = float(value.removesuffix("%"))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"must be a number of per cent from 0 to 100, not {shorten(value)}")
    return float(value)


def _weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a weight is a number, not {shorten(value)}")
    if not (math.isfinite(value) and 0 <= value <= _MAX_WEIGHT):
        raise ValueError(f"a weight lies between 0 and {_MAX_WEIGHT:g}, not {shorten(value)}")
    return float(value)


def _schema(kind: str, pattern: str, *words: object) -> WithJsonSchema:
    alternatives: list[dict[str, Any]] = [{"type": kind, "minimum": 0}, {"type": "string", "pattern": pattern}]
    return WithJsonSchema({"anyOf": [*alternatives, {"enum": list(words)}] if words else alternatives})


Duration = Annotated[
    float,
    PlainValidator(_positive(parse_duration)),
    PlainSerializer(render_duration),
    _schema("number", DURATION_PATTERN),
]
"""Seconds, more than 0."""

DurationOrOff = Annotated[
    float,
    PlainValidator(_zero_when_off(parse_duration)),
    PlainSerializer(render_duration),
    _schema("number", DURATION_PATTERN, "off", False),
]
"""Seconds; 0 is off."""

HeadSize = Annotated[
    int,
    PlainValidator(_head_size),
    PlainSerializer(render_size),
    _schema("integer", SIZE_PATTERN),
]
"""Bytes of a line or a head: a buffer of this size exists per connection at worst."""

SizeOrOff = Annotated[
    int,
    PlainValidator(_zero_when_off(parse_size)),
    PlainSerializer(render_size),
    _schema("integer", SIZE_PATTERN, "off", False),
]
"""Bytes; 0 is off."""

Share = Annotated[
    float,
    PlainValidator(parse_share),
    PlainSerializer(render_share),
    _schema("number", SHARE_PATTERN),
]
"""A ratio from 0 to 1."""

ShareOrOff = Annotated[
    float,
    PlainValidator(_zero_when_off(parse_share)),
    PlainSerializer(render_share),
    _schema("number", SHARE_PATTERN, "off", False),
]
"""A ratio from 0 to 1; 0 is off."""

Percent = Annotated[
    float,
    PlainValidator(_percent),
    PlainSerializer(render_number),
    _schema("number", SHARE_PATTERN),
]
"""A number of per cent, from 0 to 100."""

Weight = Annotated[
    float,
    PlainValidator(_weight),
    PlainSerializer(render_number),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": _MAX_WEIGHT}),
]
"""A weight relative to the sum of its split."""

Statuses = Annotated[
    StatusRange,
    PlainValidator(parse_statuses),
    PlainSerializer(lambda statuses: statuses.low if statuses.low == statuses.high else str(statuses)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": f"^{_STATUSES.pattern}$"},
            ]
        }
    ),
]
"""A range of HTTP statuses."""

Count = Annotated[int, Field(ge=0, le=1_000_000)]
"""A number of things; what 0 means is said where it is used."""

PositiveCount = Annotated[int, Field(ge=1, le=1_000_000)]
"""A number of things, at least one."""
