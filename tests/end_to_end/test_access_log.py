"""The access log in a file: whole lines of all workers, and none lost when the file is rotated under load."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.load import load
from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

ROTATIONS = 5


@pytest.fixture(scope="module")
def tree() -> Iterator[dict[str, Any]]:
    with named_upstreams("v1") as places:
        yield {**a_service(places, {"v1": 1}), "access_log": {"format": "json", "output": "access.log"}}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_request_is_a_line_of_json(tree: dict[str, Any], tmp_path: Path):
    with whole_proxy(tmp_path, tree) as proxy:
        assert proxy.ask("/a/b?c=d", X_Request_Id="mine", User_Agent="tester") == (200, "v1")
        wait_until(lambda: (tmp_path / "access.log").read_text(), "for the line")
        (line,) = lines(tmp_path / "access.log")
        told = (
            "request_id",
            "method",
            "path",
            "query",
            "status",
            "service",
            "version",
            "reason",
            "user_agent",
            "error",
        )
        assert [line[name] for name in told] == [
            *("mine", "GET", "/a/b", "c=d"),
            *(200, "shop", "v1", "weight"),
            *("tester", None),
        ]


def test_rotation_under_load_loses_no_line(tree: dict[str, Any], tmp_path: Path):
    path = tmp_path / "access.log"
    with whole_proxy(tmp_path, tree) as proxy:
        with load(proxy, kept=8, fresh=2) as running:
            for rotation in range(ROTATIONS):
                rotate(proxy, path, rotation)
            requests = running.end()
        dropped = proxy.metrics()["serinus_access_log_dropped_total{}"]
    logs = [path, *tmp_path.glob("access.log.*")]
    assert len(logs) == ROTATIONS + 1
    logged = [line for log in logs for line in lines(log)]
    assert ({request.status for request in requests}, dropped) == ({200}, 0)
    assert len(logged) == len(requests)
    assert len({line["request_id"] for line in logged}) == len(requests)


def rotate(proxy: WholeProxy, path: Path, number: int) -> None:
    """As logrotate does: rename, tell, and wait until the new file is written to."""
    wait_until(lambda: path.exists() and path.stat().st_size, "for lines")
    path.rename(path.with_name(f"access.log.{number}"))
    proxy.program.send_signal(signal.SIGUSR1)
    wait_until(lambda: path.exists() and path.stat().st_size, "for lines in the new file")
