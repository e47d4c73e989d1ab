"""Holds answers against the OpenAPI document that describes them."""

import re
from typing import Any

from aiohttp import ClientResponse
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from proxy.admin.app import openapi

_URI = "urn:serinus:openapi"
_PROBLEM = {"$ref": "#/components/schemas/ProblemView"}


class AnswerCheck:
    """Complains about an answer that the document does not describe."""

    def __init__(self) -> None:
        self.document = openapi()
        resource = Resource.from_contents(self.document, default_specification=DRAFT202012)
        self._registry: Any = Registry().with_resource(_URI, resource)

    def check(self, method: str, raw_path: str, response: ClientResponse, content: Any) -> None:
        """Raise when status, type, headers or content of an answer are not described."""
        operation = self._operation("GET" if method == "HEAD" else method, raw_path)
        if operation is None:
            assert response.status in {401, 403, 404, 405, 429}, f"{method} {raw_path} is not described"
            described = {
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemView"}}}
            }
        else:
            described = operation["responses"][str(response.status)]
        for name in described.get("headers", {}) if operation else ():
            if "dry_run=true" not in str(response.url):
                assert name in response.headers
        if method != "HEAD" and "content" in described:
            self._validate(described["content"][response.content_type]["schema"], content)

    def _operation(self, method: str, raw_path: str) -> dict[str, Any] | None:
        for path, operations in self.document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), raw_path):
                operation: dict[str, Any] | None = operations.get(method.lower())
                return operation
        return None

    def _validate(self, schema: dict[str, Any], content: Any) -> None:
        absolute = {"$ref": _URI + schema["$ref"]} if "$ref" in schema else schema
        Draft202012Validator(absolute, registry=self._registry).validate(content)
