"""The description that is made of a table of calls."""

from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.webapi.orchard import CALLS, DOCUMENT


def test_the_document_is_valid_openapi_31():
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_call_is_described():
    described = {(method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert described == {(call.method, call.path) for call in CALLS}


def test_only_what_is_open_needs_no_token():
    open_paths = {path for path, operations in DOCUMENT["paths"].items() if "security" not in operations.get("get", {})}
    assert open_paths & {call.path for call in CALLS if call.method == "GET"} == {"/sky"}


def test_a_body_is_required_when_something_in_it_is():
    bodies = {
        path: operation["requestBody"]["required"]
        for path, operations in DOCUMENT["paths"].items()
        for operation in operations.values()
        if "requestBody" in operation
    }
    assert bodies == {"/trees/{tree}/apples": True, "/trees/{tree}/water": False}
