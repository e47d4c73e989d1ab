"""Units in configuration values: durations, sizes and shares, from text and back.

Owns the grammar of `30s`, `5MiB` and `0.5%`. Must not know which option a value belongs to.

1. Durations are seconds (float), sizes are bytes (int), shares are ratios from 0 to 1 (float).
2. Arithmetic is decimal, so that `render_*` gives text which `parse_*` reads back to the equal number.
3. Only ASCII digits count as digits.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_PLAIN_NUMBER: Final = re.compile(_NUMBER)
_DURATION_PART: Final = re.compile(rf"({_NUMBER})([a-zµ]+)")
_SIZE: Final = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)")
_SHARE: Final = re.compile(rf"({_NUMBER}) ?%")

# From the longest to the shortest: a duration names its units in this order.
_SECONDS: Final[Mapping[str, Decimal]] = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
    "us": Decimal("0.000001"),
    "µs": Decimal("0.000001"),
}
_BYTES: Final[Mapping[str, int]] = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_RENDERED_SIZES: Final = ("TiB", "GiB", "MiB", "KiB")
_RENDERED_DURATIONS: Final = ("d", "h", "m")

# Ten years: longer than any sensible wait, short enough for every timer.
MAX_DURATION: Final = Decimal(10 * 365 * 86400)
MAX_SIZE: Final = 2**62
# Longer numbers are slips; every float has a shorter text.
_MAX_TEXT: Final = 400
_MAX_INT: Final = 2**64

_DURATION_HINT: Final = "write it as 30s, 500ms, 10m or 1h30m"
_SIZE_HINT: Final = "write it as 8KiB, 5MiB or 64kB"
_SHARE_HINT: Final = "write it as 20% or 0.2"


def parse_duration(value: object) -> float:
    """Return the seconds that `value` names; a bare number is seconds.

    Raises:
        ValueError: `value` is not a duration, is negative or is longer than ten years.
    """
    seconds = _decimal(value)
    if seconds is None:
        seconds = _sum_of_parts(_text(value, "duration", _DURATION_HINT))
    if seconds < 0:
        raise ValueError(f"a duration cannot be negative: {shorten(value)}")
    if seconds > MAX_DURATION:
        raise ValueError(f"a duration of {shorten(value)} is longer than ten years")
    return float(seconds)


def parse_size(value: object) -> int:
    """Return the bytes that `value` names; a bare number is bytes.

    Raises:
        ValueError: `value` is not a size, is negative or is not a whole number of bytes.
    """
    size = _decimal(value)
    if size is None:
        text = _text(value, "size", _SIZE_HINT)
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(f"not a size: {shorten(text)}; {_SIZE_HINT}")
        number, unit = match.groups()
        if unit not in _BYTES:
            raise ValueError(f"unknown unit {unit!r} in {shorten(text)}; {_SIZE_HINT}")
        size = Decimal(number) * _BYTES[unit]
    if size < 0:
        raise ValueError(f"a size cannot be negative: {shorten(value)}")
    if size > MAX_SIZE:
        raise ValueError(f"a size of {shorten(value)} is too large")
    if size != int(size):
        raise ValueError(f"{shorten(value)} is not a whole number of bytes")
    return int(size)


def parse_share(value: object) -> float:
    """Return the ratio from 0 to 1 that `value` names: `20%` and `0.2` are the same.

    Raises:
        ValueError: `value` is not a share, or lies outside 0 to 1.
    """
    share = _decimal(value)
    if share is None:
        text = _text(value, "share", _SHARE_HINT)
        match = _SHARE.fullmatch(text)
        if match is None:
            raise ValueError(f"not a share: {shorten(text)}; {_SHARE_HINT}")
        share = Decimal(match.group(1)) / 100
    elif share > 1:
        raise ValueError(f"a share without % lies between 0 and 1; write {_plain(share)}% for per cent")
    if not 0 <= share <= 1:
        raise ValueError(f"a share lies between 0% and 100%, not {shorten(value)}")
    return float(share)


def render_duration(seconds: float) -> str:
    """Return text such as `1h30m`, which `parse_duration` reads as the same number."""
    rest = Decimal(repr(float(seconds)))
    if rest == 0:
        return "0s"
    if rest < 1:
        return f"{_plain(rest * 1000)}ms"
    text = ""
    for unit in _RENDERED_DURATIONS:
        count, rest = divmod(rest, _SECONDS[unit])
        text += f"{_plain(count)}{unit}" if count else ""
    return text + (f"{_plain(rest)}s" if rest else "")


def render_size(size: int) -> str:
    """Return text such as `8KiB`, which `parse_size` reads as the same number."""
    for unit in _RENDERED_SIZES:
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def render_share(ratio: float) -> str:
    """Return text such as `0.5%`, which `parse_share` reads as the same number."""
    return f"{_plain(Decimal(repr(float(ratio))) * 100)}%"


def _decimal(value: object) -> Decimal | None:
    """Return the exact number that `value` already is, or None when its unit has to be read."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float) and abs(value) < _MAX_INT:
        return Decimal(repr(value))
    if isinstance(value, str) and len(value) <= _MAX_TEXT and _PLAIN_NUMBER.fullmatch(value):
        return Decimal(value)
    return None


def _text(value: object, noun: str, hint: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"not a {noun}: {shorten(value)}; {hint}")
    return value


def shorten(value: object) -> str:
    """Return `value` as a message quotes it: YAML's words for the constants, long text cut."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sum_of_parts(text: str) -> Decimal:
    """Add up `1h30m`: every unit at most once, the longer ones first."""
    total, position, units = Decimal(0), 0, list(_SECONDS)
    for part in _DURATION_PART.finditer(text):
        number, unit = part.groups()
        if part.start() != position:
            break
        if unit not in _SECONDS:
            raise ValueError(f"unknown unit {unit!r} in {shorten(text)}; {_DURATION_HINT}")
        if unit not in units:
            raise ValueError(f"units out of order in {shorten(text)}; {_DURATION_HINT}")
        units = units[units.index(unit) + 1 :]
        total += Decimal(number) * _SECONDS[unit]
        position = part.end()
    if position != len(text) or not text:
        raise ValueError(f"not a duration: {shorten(text)}; {_DURATION_HINT}")
    return total


def _plain(number: Decimal) -> str:
    """Return the number without exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
