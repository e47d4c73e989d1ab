"""From plain values to the model: the shape of a file, and the words for what is wrong with it.

Owns the translation of pydantic's errors into complaints with a path in the file.
"""

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.model import Config
from config.problems import Complaint, Path, nearest
from config.schema import keys_at
from config.units import shorten

_TAGS: Final = ("strategy", "kind")
_STAPLING: Final = re.compile("ocsp|stapl", re.IGNORECASE)
_QUOTED: Final = re.compile(r"'([^']*)'")

_MESSAGES: Final[Mapping[str, str]] = {
    "bool_type": "must be true or false, not {input}",
    "dict_type": "must be a mapping, not {input}",
    "finite_number": "must be a finite number",
    "float_type": "must be a number, not {input}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number, not {input}",
    "int_type": "must be a whole number, not {input}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}, not {input}",
    "missing": "is required",
    "model_attributes_type": "must be a mapping, not {input}",
    "model_type": "must be a mapping, not {input}",
    "tuple_type": "must be a list, not {input}",
    "union_tag_invalid": "must be one of {expected_tags}, not {tag!r}",
    "union_tag_not_found": "is required",
}


def build(tree: object, folder: FilePath) -> tuple[Config | None, list[Complaint]]:
    """Return the configuration, or None and what is wrong with its shape."""
    try:
        config = Config.model_validate(tree, context={"folder": folder}, by_alias=True, by_name=False)
    except ValidationError as exc:
        return None, [_complaint(error, tree) for error in exc.errors(include_url=False)]
    return config, []


def _complaint(error: ErrorDetails, tree: object) -> Complaint:
    kind, location = error["type"], error["loc"]
    if kind in {"missing", "extra_forbidden"}:
        path = (*_path_in_file(location[:-1], tree), location[-1])
        return Complaint(path, _message(error)) if kind == "missing" else _unknown_key(path)
    path = _path_in_file(location, tree)
    if kind.startswith("union_tag"):
        path = (*path, error["ctx"]["discriminator"].strip("'"))
    return Complaint(path, _message(error), _nearest_word(error), at_key=location[-1:] == ("[key]",))


def _unknown_key(path: Path) -> Complaint:
    key, section = str(path[-1]), path[-2:-1]
    if section and key in keys_at(section):
        return Complaint(path, f"{key!r} can only be set for all services, in the global {section[0]}", at_key=True)
    if _STAPLING.search(key):
        return Complaint(path, f"unknown key {key!r}: OCSP stapling is not offered, Python's ssl has none", at_key=True)
    return Complaint(path, f"unknown key {key!r}", nearest(key, keys_at(path[:-1])), at_key=True)


def _path_in_file(location: tuple[int | str, ...], tree: object) -> Path:
    """Leave out what pydantic adds to a path: tags of unions, `[key]`, and the index of one that stands for a list."""
    path: Path = ()
    value: Any = tree
    for part in location:
        if isinstance(part, int):
            found = isinstance(value, tuple) and part < len(value)
        else:
            found = isinstance(value, dict) and part in value and part not in [value.get(tag) for tag in _TAGS]
        if found:
            path, value = (*path, part), value[part]
    return path


def _message(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    template = _MESSAGES.get(error["type"])
    if template is None:
        return error["msg"][:1].lower() + error["msg"][1:]
    return template.format(input=shorten(error["input"]), **context)


def _nearest_word(error: ErrorDetails) -> str | None:
    """Return the word of a closed list that was probably meant."""
    context = error.get("ctx", {})
    words = _QUOTED.findall(context.get("expected") or context.get("expected_tags") or "")
    written = context.get("tag", error["input"])
    return nearest(written, words) if isinstance(written, str) else None
