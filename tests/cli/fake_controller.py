"""A stand-in for the controller: answers what it is told to answer, and remembers what it was asked.

Owns one rollout in memory. `phases` are what it is in, one after the other for each look; the last one stays.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def a_rollout(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"id": "shop-3", "service": "shop", "strategy": "canary", "from": "stable", "to": "canary"}
    usual |= {"phase": "step", "step": 1, "steps": 4, "attempt": 1, "weights": {"stable": 90.0, "canary": 10.0}}
    usual |= {"active": None, "applied": True, "elapsed": 120.0, "bake": 600.0, "deadline": None, "failed": []}
    usual |= {
        "why": "the checks pass",
        "by": "",
        "ordered": None,
        "waits": "bakes: 2m of 10m",
        "lost": [],
        "sealed": False,
        "at": 5.0,
    }
    return {**usual, **changes}


@dataclass
class FakeController:
    """The server's memory."""

    address: str = ""
    rollouts: list[dict[str, Any]] = field(default_factory=lambda: [a_rollout()])
    phases: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, Any, str]] = field(default_factory=list)
    refusal: tuple[int, Any] | None = None
    plan: dict[str, Any] | None = None
    line: dict[str, Any] = field(default_factory=lambda: {"stopped": False, "by": "", "actor": "", "reason": ""})

    def answer(self, method: str, path: str, body: Any, actor: str) -> tuple[int, Any]:
        self.asked.append((method, path, body, actor))
        if self.refusal is not None and method in ("POST", "PUT"):
            return self.refusal
        if path == "/v1/line":
            return 200, self._line(body)
        if path == "/v1/signals" or (path == "/v1/rollouts" and method == "GET"):
            return 200, {"rollouts": self.rollouts, "stopped": None, "frozen": "", "trouble": ""}
        if path.startswith("/v1/plan?"):
            return (200, self.plan) if self.plan else (404, {"detail": "The file has no rollout for 'shp'"})
        if path.endswith("/why"):
            return 200, self._why()
        if path.endswith(("/series", "/report")):
            series = {"rollout": "shop-3", "rows": []}
            return 200, series if path.endswith("/series") else b"<!doctype html>\n<p>na\xc3\xafve</p>"
        if method == "GET" and self.phases:
            self.rollouts[-1] |= self.phases.pop(0)
        return (201 if path == "/v1/rollouts" else 200), self.rollouts[-1]

    def _line(self, body: Any) -> dict[str, Any]:
        if body:
            self.line |= {**body, "by": "ci", "actor": "alice"}
        return self.line

    def _why(self) -> dict[str, Any]:
        verdict = {"check": "error-rate", "value": "FAIL", "reason": "43 of 50 failed", "numbers": {}}
        shared = {"wall": 0.0, "at": 0.0, "by": "", "actor": "", "reason": "", "minor": False}
        shared |= {"generations": {}, "acknowledged": None}
        judged, plain = {**shared, "verdicts": [verdict]}, {**shared, "verdicts": []}
        served = {"generations": {"127.0.0.1:9900": 12}, "acknowledged": 0.25}
        decisions = [
            {"n": 1, "event": "created", "sentence": "started by ci", **plain},
            {"n": 2, "event": "applied", "sentence": "", **plain, "minor": True},
            {"n": 3, "event": "failed", "sentence": "error-rate: 43 of 50 failed", **judged, **served},
        ]
        now = {"n": None, "event": None, "sentence": "rolling back for 2s", **judged}
        outcome = "canary is in step 2 of 4"
        return {"rollout": self.rollouts[-1], "outcome": outcome, "now": now, "decisions": decisions}


@contextmanager
def serving() -> Iterator[FakeController]:
    """A fake that answers on 127.0.0.1."""
    fake = FakeController()

    class Answering(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, content = fake.answer(self.command, self.path, body, self.headers.get("X-Serinus-Actor", ""))
            encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        fake.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
