"""The description of the API, and whether it is true."""

from typing import Any, get_args, get_type_hints

import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client import CollectorRegistry

from proxy.admin.app import create_app, openapi
from proxy.admin.calls import CALLS
from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeObservations, FakeSupervisor
from webapi.call import Call


async def test_the_document_is_served(api: Api):
    assert await api.get("/openapi.json") == openapi()


def test_the_document_is_valid_openapi_31():
    described = openapi()
    assert described["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(described).iter_errors()] == []


def test_every_route_is_described_and_every_description_has_a_route(
    observations: FakeObservations, registry: CollectorRegistry
):
    app = create_app(FakeSupervisor(), observations, registry)
    routes = {(route.method, path_of(route)) for route in app.router.routes() if route.method != "HEAD"}
    described = {(method.upper(), path) for path, operations in openapi()["paths"].items() for method in operations}
    assert routes == described


def path_of(route: web.AbstractRoute) -> str:
    assert route.resource is not None
    return route.resource.canonical


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does():
    operations = [operation for path in openapi()["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["summary"] for operation in operations)


def test_only_the_probes_are_open():
    assert [call.path for call in CALLS if call.is_open] == ["/healthz", "/readyz"]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_view_gets_the_body_and_the_query_of_its_row(call: Call[Any]):
    assert get_args(get_type_hints(call.view)["asked"]) == (call.body, call.query)
