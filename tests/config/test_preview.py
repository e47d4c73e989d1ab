"""The preview of a blue-green rollout becomes routes."""

import pytest

from config.model import Config
from config.route import Route
from config.show import render
from tests.config.loading import HEAD, config_of

API = "api: {versions: {blue: {endpoints: ['127.0.0.1:9001']}, green: {endpoints: ['127.0.0.1:9002']}}, active: blue}"
WEB = "web: {versions: {v1: {endpoints: ['127.0.0.1:9003']}}}"


def routes_of(preview: str, routes: str = "") -> list[dict[str, object]]:
    """The routes of a file with such a preview, as a file would say them."""
    config = loaded(preview, routes)
    assert config_of(render(config)).routes == config.routes
    return [said(route) for route in config.routes]


def loaded(preview: str, routes: str = "") -> Config:
    services = f"services: {{{API}, {WEB}}}\n" if routes else f"services: {{{API}}}\n"
    rollout = f"{{strategy: blue-green, from: blue, to: green, preview: {preview}}}"
    return config_of(f"{HEAD}{services}{routes}\nrollouts: {{api: {rollout}}}\n")


def said(route: Route) -> dict[str, object]:
    return {key: value for key, value in route.model_dump().items() if value}


GREEN = {"service": "api", "version": "green"}
HEADER = {"X-Preview": "green"}


def test_without_routes_in_the_file_the_preview_is_the_first_of_two():
    assert routes_of("{headers: {X-Preview: green}}") == [
        {"match": {"headers": HEADER}, **GREEN},
        {"service": "api"},
    ]


def test_requests_for_other_services_are_left_alone_whatever_they_carry():
    routes = "routes: [{match: {host: api.test, path_prefix: /v1}, service: api}, {service: web}]"
    assert routes_of("{headers: {X-Preview: green}}", routes) == [
        {"match": {"host": ("api.test",), "path_prefix": "/v1", "headers": HEADER}, **GREEN},
        {"match": {"host": ("api.test",), "path_prefix": "/v1"}, "service": "api"},
        {"service": "web"},
    ]


@pytest.mark.parametrize("place", ["{host: preview.test}", "{path_prefix: /preview}", "{path: /x}"])
def test_a_preview_with_a_host_or_a_path_is_a_route_of_its_own(place: str):
    routes = "routes: [{match: {host: api.test}, service: api}, {service: web}]"
    first, *others = loaded(place, routes).routes
    assert (first.service, first.version, first.match) == ("api", "green", loaded(place).routes[0].match)
    assert len(others) == 2


def test_a_route_that_forces_a_version_is_no_way_to_the_preview():
    routes = "routes: [{match: {path: /old}, service: api, version: blue}, {match: {path: /}, service: api}]"
    assert [each.get("match") for each in routes_of("{cookies: {preview: '1'}}", routes)] == [
        {"path": "/", "cookies": {"preview": "1"}},
        {"path": "/old"},
        {"path": "/"},
    ]


def test_conditions_that_cannot_both_hold_make_no_route():
    routes = (
        "routes: [{match: {headers: {x-preview: blue}}, service: api}, {match: {method: GET}, service: api},"
        " {match: {headers: {x-preview: green}, path: /}, service: api}]"
    )
    first, *others = routes_of("{method: POST, headers: {X-Preview: green}}", routes)
    assert first == {"match": {"path": "/", "method": ("POST",), "headers": {"x-preview": "green"}}, **GREEN}
    assert len(others) == 3


def test_a_route_of_the_file_with_the_same_match_wins():
    routes = "routes: [{match: {headers: {X-Preview: green}}, service: web}, {service: api}]"
    assert routes_of("{headers: {X-Preview: green}}", routes) == [
        {"match": {"headers": HEADER}, "service": "web"},
        {"service": "api"},
    ]


@pytest.mark.parametrize("preview", ["{headers: {X-Preview: green}}", "{host: preview.test}"])
def test_what_a_route_refuses_its_preview_refuses_too(preview: str):
    routes = "routes: [{service: api, refuse_encoded_slashes: true}, {match: {path: /web}, service: web}]"
    assert [route.refuse_encoded_slashes for route in loaded(preview, routes).routes] == [True, True, False]
