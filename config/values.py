"""What every configuration model is built from: the base class, the immutable mapping, `off` and one-or-many.

Must not know any option by name.

1. Values are immutable and hashable: models are frozen, lists are tuples, mappings are `Table`.
2. Dumping a value (`model_dump`) gives what a configuration file says; loading that gives the equal value.
"""

from collections.abc import Iterator, Mapping, Sized
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

K = TypeVar("K", bound=str)
V = TypeVar("V")
S = TypeVar("S", bound=Sized)

_OFF_WORDS: Final = frozenset({"off", "none"})


def is_off(value: object) -> bool:
    """Whether a configuration value means "not at all": `off`, `none`, `false` or nothing."""
    return value is None or value is False or (isinstance(value, str) and value in _OFF_WORDS)


class Table(Mapping[K, V], Generic[K, V]):
    """An immutable, hashable mapping from text to values, in the order of the file."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        self._items: Final = dict(items or {})

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"Table({self._items!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate keys and values as a dict of the two parameters; a `Table` may come in as well."""
        key, item = get_args(source)
        items = handler.generate_schema(dict[key, item])  # type: ignore[valid-type]
        return core_schema.no_info_before_validator_function(
            lambda value: dict(value) if isinstance(value, Table) else value,
            core_schema.no_info_after_validator_function(cls, items),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda table, serialize: serialize(dict(table)), schema=items
            ),
        )


class Value(BaseModel):
    """A part of the configuration: strict about types, closed to unknown keys, frozen."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_by_alias=True,
        validate_by_name=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_nothing(cls, value: object) -> object:
        """A key without a value (all below it commented out) has the defaults."""
        return {} if value is None else value


class _OffWord:
    """Lets `off` (also `none`, `false`, `null`) stand for the absence of an optional part."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: None if is_off(value) else value,
            handler(source),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, serialize: "off" if value is None else serialize(value), schema=handler(source)
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        json_schema = handler(schema)
        json_schema["anyOf"] = [*json_schema.get("anyOf", []), {"enum": [*sorted(_OFF_WORDS), False]}]
        return json_schema


class _OneOrMore:
    """Lets one value stand for a list of one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, list | tuple) else (value,), handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        json_schema = handler(schema)
        return {"anyOf": [json_schema["items"], json_schema]}


class TextToo:
    """Tells the JSON Schema that a text stands for the object."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


class _NotEmpty:
    """Asks a list or mapping for at least one item. (pydantic's own check counts only items that are valid.)"""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_not_empty, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        json_schema = handler(schema)
        return {**json_schema, "minItems" if json_schema.get("type") == "array" else "minProperties": 1}


def _not_empty(items: S) -> S:
    if not items:
        raise ValueError("must not be empty")
    return items


NotEmpty: TypeAlias = Annotated[S, _NotEmpty()]
OrOff: TypeAlias = Annotated[V | None, _OffWord()]
OneOrMore: TypeAlias = Annotated[tuple[V, ...], _OneOrMore()]
