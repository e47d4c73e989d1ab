"""Serinus before all servers: its configuration, its start, and the access log that says what it saw.

Owns: one running proxy. Must not: know techniques.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadtests.bench.children import running
from loadtests.bench.faults import Invalid
from loadtests.smuggling.ports import choose_ports
from loadtests.smuggling.waiting import wait_until_ready


@dataclass(frozen=True, slots=True)
class Logged:
    """A request that we saw. `target` as it was sent on; `is_forwarded`: an endpoint was chosen for it."""

    id: str
    method: str
    target: str
    host: str | None
    status: int
    body: int
    is_forwarded: bool
    error: str | None


@contextmanager
def proxying(folder: Path, ports: Mapping[str, int]) -> Iterator[int]:
    """Run `serinus proxy` with two workers before these servers, by the code that paths begin with; gives its port.

    Raises:
        Invalid: it did not start, or ended in another way than when it was asked to.
    """
    port, admin = choose_ports(2)
    path, log = folder / "serinus.yaml", folder / "serinus-log"
    path.write_text(yaml.safe_dump(_configuration(port, admin, ports), sort_keys=False))
    with running([sys.executable, "-P", "-m", "cli", "proxy", "-c", str(path)], log=log) as child:
        wait_until_ready(admin, "/readyz", child, "Serinus", log)
        yield port
    if child.returncode != 0:
        raise Invalid(f"Serinus ended with {child.returncode}: {log.read_text(errors='replace')[-500:]}")


def _configuration(port: int, admin: int, ports: Mapping[str, int]) -> dict[str, Any]:
    return {
        "listen": [{"address": f"127.0.0.1:{port}"}],
        "admin": {"address": f"127.0.0.1:{admin}"},
        "workers": 2,
        "drain_timeout": "5s",
        "access_log": {"format": "json", "output": "access.log"},
        "services": {
            f"at-{code}": {
                "versions": {"v1": {"endpoints": [f"127.0.0.1:{at}"]}},
                "split": {"v1": 1},
                "retries": {"attempts": 0},
                "ejection": "off",  # a server that refuses a technique stays where it is
            }
            for code, at in ports.items()
        },
        "routes": [{"match": {"path_prefix": f"/{code}/"}, "service": f"at-{code}"} for code in ports],
    }


def read_log(folder: Path) -> list[Logged]:
    """What the proxy saw, after its end."""
    return list(_logged((folder / "access.log").read_text().splitlines()))


def _logged(lines: Iterable[str]) -> Iterator[Logged]:
    for line in map(json.loads, lines):
        if line["method"] is None:
            continue  # refused before it was a request
        path = line["path"] or "/"
        yield Logged(
            id=line["request_id"],
            method=line["method"],
            target=path if line["query"] is None else f"{path}?{line['query']}",
            host=line["host"],
            status=line["status"],
            body=line["bytes_in"],
            is_forwarded=line["upstream"] is not None,
            error=line["error"],
        )
