"""The JSON Schema of the file, for editors and for suggestions.

Owns the published schema (draft 2020-12): what pydantic derives from the models, with variables allowed as values.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from config.model import Config, Value
from config.problems import Path

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
TITLE: Final = "Serinus configuration"
_VARIABLE: Final = {
    "type": "string",
    "pattern": r"\$\{",
    "description": "Text with variables: ${NAME} or ${NAME:-default}",
}
_VARIABLE_REFERENCE: Final = {"$ref": "#/$defs/Variable"}
_ANNOTATIONS: Final = ("description", "default")
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
_CONDITIONS_ON_TEXT: Final = frozenset({"pattern", "enum", "format"})


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file."""
    schema = _with_variables(_with_written_defaults(Config.model_json_schema()))
    schema["$defs"]["Variable"] = _VARIABLE
    return {"$schema": DIALECT, **schema, "title": TITLE}


def keys_at(path: Path) -> frozenset[str]:
    """Return the keys that the mapping at `path` may have."""
    schemas = [_schema()]
    for part in path:
        schemas = [below for schema in _alternatives(schemas) for below in _step(schema, part)]
    return frozenset(key for schema in _alternatives(schemas) for key in schema.get("properties", {}))


@cache
def _schema() -> Mapping[str, Any]:
    return Config.model_json_schema()


def _alternatives(schemas: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas with references followed and unions taken apart."""
    for schema in schemas:
        below = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
        if "$ref" in schema:
            below.append(_schema()["$defs"][schema["$ref"].removeprefix("#/$defs/")])
        yield schema
        yield from _alternatives(below)


def _step(schema: Mapping[str, Any], part: str | int) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, int):
        below = [schema.get("items")]
    elif part in schema.get("properties", {}):
        below = [schema["properties"][part]]
    else:
        below = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    yield from (candidate for candidate in below if isinstance(candidate, dict))


def _with_written_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with defaults as a file says them (`2s`, not 2.0); a section's are those of its options."""
    for model in _models_below(Value):
        part = schema if model is Config else schema["$defs"].get(model.__name__, {})
        for name, field in model.model_fields.items():
            option = part.get("properties", {}).get(field.alias or name, {})
            if isinstance(field.default, Value) or field.default in {"", None}:
                option.pop("default", None)
            elif "default" in option:
                written = TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode="json")
                option["default"] = written
    return schema


def _models_below(model: type[Value]) -> Iterator[type[Value]]:
    for below in model.__subclasses__():
        yield below
        yield from _models_below(below)


def _with_variables(schema: Any) -> Any:
    """Return the schema without titles, and with a variable allowed wherever a scalar is not just any text."""
    if isinstance(schema, list):
        return [_with_variables(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if not _is_closed_scalar(schema):
        return {
            key: value if key == "default" else _with_variables(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    notes = {key: schema[key] for key in _ANNOTATIONS if key in schema}
    condition = {key: value for key, value in schema.items() if key not in {*_ANNOTATIONS, "title"}}
    return {"anyOf": [*condition.pop("anyOf", [condition]), _VARIABLE_REFERENCE], **notes}


def _is_closed_scalar(schema: Mapping[str, Any]) -> bool:
    """Whether the schema is for a number, a truth value, or text that has to look a certain way."""
    if schema.get("type") in _SCALARS or "enum" in schema:
        return schema.get("type") != "string" or bool(_CONDITIONS_ON_TEXT & schema.keys())
    choices = schema.get("anyOf", [])
    return bool(choices) and all(_is_closed_scalar(choice) or choice.get("type") == "null" for choice in choices)
