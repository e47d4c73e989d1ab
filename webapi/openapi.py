"""The OpenAPI 3.1 document, made from the table of calls.

Owns the translation. Must not know any call in particular.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from webapi.asking import MAX_ACTOR, is_optional
from webapi.call import EVENT_STREAM, JSON, Call
from webapi.problem import MEDIA_TYPE, TITLES
from webapi.roles import ROLES_IN_WORDS
from webapi.shapes import ONE_LINE, Nothing, ProblemView

_REF: Final = "#/components/schemas/{model}"
_NAMES: Final = re.compile(r"{(\w+)}")
_OF_EVERY_CALL: Final = (403, 405, 417, 422, 500)
_BEHIND_THE_TOKEN: Final = (401, 429)
_OF_A_CHANGE: Final = (415,)

_ETAG: Final = {"description": "The generation, quoted", "schema": {"type": "string", "pattern": '^"[0-9]+"$'}}
_TOKEN: Final = (
    "Needed when the file sets a token. The list of each call names the role that its token needs: "
    + "; ".join(f"{role}: {may}" for role, may in ROLES_IN_WORDS.items())
    + ". Each may do what those before it may."
)
_HEADERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "If-Match": ("The generation that the change is based on", {"type": "string"}),
    "If-None-Match": ("The generation that is known", {"type": "string"}),
    "Last-Event-ID": ("The event that was seen last", {"type": "string", "pattern": "^[0-9]{1,18}$"}),
    "X-Serinus-Actor": (
        "Who asks, beside the name of the token; kept and shown",
        {"type": "string", "minLength": 1, "maxLength": MAX_ACTOR, "pattern": ONE_LINE},
    ),
}


def document(title: str, calls: Iterable[Call[Any]], places: Mapping[str, str]) -> dict[str, Any]:
    """The description of the calls; `places` describes the names in their paths."""
    calls = tuple(calls)
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, places)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version("serinus"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(calls),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": _TOKEN}},
        },
    }


def _operation(call: Call[Any], places: Mapping[str, str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.summary,
        "parameters": [*_path_parameters(call, places), *_query_parameters(call), *_header_parameters(call)],
        "responses": {str(call.status): _success(call), **{str(status): _error(status) for status in _statuses(call)}},
    }
    if call.is_revalidated:
        operation["responses"]["304"] = {"description": "The generation is the one that the client has"}
    if not call.is_open:
        # OpenAPI 3.1 §4.8.30: for schemes without scopes the list holds the roles that are needed.
        operation["security"] = [{}, {"token": [call.needed]}]
    if call.body is not Nothing:
        operation["requestBody"] = {
            "required": not is_optional(call.body),
            "content": {JSON: {"schema": _ref(call.body)}},
        }
    return operation


def _success(call: Call[Any]) -> dict[str, Any]:
    response = {"description": call.summary, "content": {call.media_type: {"schema": _schema_of_answer(call)}}}
    return response | ({"headers": {"ETag": _ETAG}} if call.has_tag else {})


def _schema_of_answer(call: Call[Any]) -> dict[str, Any]:
    if call.media_type == JSON:
        return _ref(call.answer) if call.answer else {"type": "object"}
    if call.answer:
        # OpenAPI 3.1 describes a stream as text; what each piece of it holds is told beside.
        return {"type": "string", "contentMediaType": call.media_type, "contentSchema": _ref(call.answer)}
    return {"type": "string"}


def _error(status: int) -> dict[str, Any]:
    return {"description": TITLES[status], "content": {MEDIA_TYPE: {"schema": _ref(ProblemView)}}}


def _statuses(call: Call[Any]) -> list[int]:
    own = {*call.errors, *(_OF_A_CHANGE if call.changes else ())}
    return sorted({*own, *_OF_EVERY_CALL, *(() if call.is_open else _BEHIND_THE_TOKEN)})


def _path_parameters(call: Call[Any], places: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        _parameter("path", name, places[name], {"type": "string", "minLength": 1}, required=True)
        for name in _NAMES.findall(call.path)
    ]


def _query_parameters(call: Call[Any]) -> list[dict[str, Any]]:
    properties = call.query.model_json_schema().get("properties", {})
    return [
        _parameter("query", name, _described(call, name, schema.pop("description", "")), {**schema, "title": name})
        for name, schema in properties.items()
    ]


def _described(call: Call[Any], option: str, description: str) -> str:
    role = call.roles_of_options.get(option)
    return f"{description} Needs the role {role}." if role else description


def _header_parameters(call: Call[Any]) -> list[dict[str, Any]]:
    names = [
        *(("If-Match",) if call.is_conditional else ()),
        *(("X-Serinus-Actor",) if call.changes else ()),
        *(("If-None-Match",) if call.is_revalidated else ()),
        *(("Last-Event-ID",) if call.media_type == EVENT_STREAM else ()),
    ]
    return [_parameter("header", name, *_HEADERS[name]) for name in names]


def _parameter(
    place: str, name: str, description: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {"in": place, "name": name, "description": description, "required": required, "schema": schema}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(calls: tuple[Call[Any], ...]) -> dict[str, Any]:
    modes: dict[type[BaseModel], JsonSchemaMode] = {ProblemView: "serialization"}
    for call in calls:
        if call.body is not Nothing:
            modes[call.body] = "validation"
        if call.answer:
            modes[call.answer] = "serialization"
    _, schemas = models_json_schema(list(modes.items()), ref_template=_REF)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions
