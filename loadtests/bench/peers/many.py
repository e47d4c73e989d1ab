"""A large configuration around a small one: 1,000 services, 10,000 routes, 10,000 endpoints.

Owns: what is added. Must not: change what the small one says; its own routes still match what its clients ask, and
have to be found among all the others.
"""

import json
from typing import Any, Final

import yaml

MANY: Final = "many"
SERVICES: Final = 1000
_ENDPOINTS: Final = 5  # of each of two versions
_ROUTES: Final = 10  # of each service


def widened(text: str) -> str:
    """The configuration with the others added, as JSON, which is YAML too and is read faster."""
    whole: dict[str, Any] = yaml.safe_load(text)
    others = range(SERVICES - len(whole["services"]))
    whole["services"] |= {f"service-{number}": _service(number) for number in others}
    whole["routes"] += [_route(number, part) for number in others for part in range(_ROUTES)]
    return json.dumps(whole)


def _service(number: int) -> dict[str, Any]:
    """Two versions at addresses where nobody is: no request goes there."""
    versions = {
        version: {"endpoints": [f"127.{net}.{number // 250}.{number % 250 + 1}:{8000 + i}" for i in range(_ENDPOINTS)]}
        for net, version in enumerate(("stable", "canary"), 1)
    }
    return {"versions": versions, "split": {"stable": 90, "canary": 10}}


def _route(number: int, part: int) -> dict[str, Any]:
    """Half by host and path, half by host, path and a header."""
    match = {"host": f"service-{number}.example.com", "path_prefix": f"/part-{part}/"}
    conditions = {"headers": {"X-Tenant": f"tenant-{part}"}} if part % 2 else {}
    return {"match": {**match, **conditions}, "service": f"service-{number}"}
