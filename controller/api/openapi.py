"""The OpenAPI 3.1 document, made from the table of calls.

Owns the translation. Must not know any call in particular.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from controller.api.asking import MAX_ACTOR
from controller.api.calls import Call
from controller.api.models import Nothing, ProblemView
from controller.api.problem import MEDIA_TYPE, TITLES

_REF: Final = "#/components/schemas/{model}"
_JSON: Final = "application/json"
_OF_EVERY_CALL: Final = (403, 405, 422, 500)


def document(calls: Iterable[Call]) -> dict[str, Any]:
    """The description of the calls."""
    calls = tuple(calls)
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Serinus: API of the controller",
            "version": version("serinus"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(calls),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Needed when the file sets a token"}
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    success = {"description": call.summary, "content": {call.media_type: {"schema": _schema_of_answer(call)}}}
    operation: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.summary,
        "parameters": list(_parameters(call)),
        "responses": {str(call.status): success, **{str(status): _error(status) for status in _statuses(call)}},
    }
    if not call.is_open:
        operation["security"] = [{}, {"token": []}]
    if call.body is not Nothing:
        is_required = any(field.is_required() for field in call.body.model_fields.values())
        operation["requestBody"] = {"required": is_required, "content": {_JSON: {"schema": _ref(call.body)}}}
    return operation


def _schema_of_answer(call: Call) -> dict[str, Any]:
    if call.media_type == _JSON:
        return _ref(call.answer) if call.answer else {"type": "object"}
    if call.answer:
        # OpenAPI 3.1 describes a stream as text; what each piece of it holds is told beside.
        return {"type": "string", "contentMediaType": call.media_type, "contentSchema": _ref(call.answer)}
    return {"type": "string"}


def _parameters(call: Call) -> Iterable[dict[str, Any]]:
    if "{id}" in call.path:
        yield _parameter("path", "id", "The id of a rollout", {"type": "string"}, required=True)
    if call.method != "GET":
        schema = {"type": "string", "minLength": 1, "maxLength": MAX_ACTOR}
        yield _parameter("header", "X-Serinus-Actor", "Who asks; kept and shown", schema)
    if call.media_type == "text/event-stream":
        schema = {"type": "string", "pattern": "^[0-9]{1,18}$"}
        yield _parameter("header", "Last-Event-ID", "The event that was seen last", schema)


def _parameter(
    place: str, name: str, description: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    return {"in": place, "name": name, "description": description, "required": required, "schema": schema}


def _statuses(call: Call) -> list[int]:
    return sorted({*call.errors, *_OF_EVERY_CALL, *(() if call.is_open else (401,))})


def _error(status: int) -> dict[str, Any]:
    return {"description": TITLES[status], "content": {MEDIA_TYPE: {"schema": _ref(ProblemView)}}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(calls: tuple[Call, ...]) -> dict[str, Any]:
    modes: dict[type[BaseModel], JsonSchemaMode] = {ProblemView: "serialization"}
    for call in calls:
        if call.body is not Nothing:
            modes[call.body] = "validation"
        if call.answer:
            modes[call.answer] = "serialization"
    _, schemas = models_json_schema(list(modes.items()), ref_template=_REF)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions
