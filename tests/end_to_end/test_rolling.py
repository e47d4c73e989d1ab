"""Rolling rollouts over four endpoints, with a deploy hook that replaces real server processes under load."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployed import TALK
from tests.support.deployment import Deployment
from tests.support.load import Request, load
from tests.support.rolling_scene import ENDPOINTS, Scene, a_scene, is_healthy
from tests.support.waiting import has_ended
from tests.support.whole_proxy import WholeProxy, wait_until

pytestmark = pytest.mark.timeout(300)


class Watch:
    """Looks at the proxy all the time, and notes how many endpoints are usable."""

    def __init__(self, proxy: WholeProxy) -> None:
        self.usable: Counter[int] = Counter()
        self._proxy = proxy
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        admin = self._proxy.admin
        while not self._ending.wait(0.005):
            service = admin.service("shop")
            self.usable[
                sum(
                    each["state"] == "up" and each["healthy"]
                    for name, version in service["versions"].items()
                    for each in version["endpoints"]
                    if service["split"][name]
                )
            ] += 1

    def end(self) -> set[int]:
        """Every number of usable endpoints that was seen."""
        self._ending.set()
        self._thread.join()
        return set(self.usable)


def failed(requests: list[Request]) -> list[Request]:
    return [request for request in requests if request.failure or request.status != 200]


def test_every_endpoint_gets_the_new_version_without_a_failed_request_and_never_more_than_one_is_out(tmp_path: Path):
    with a_scene(tmp_path, "v2", {}) as scene, load(scene.proxy, kept=4, fresh=2, pause=0.005) as running:
        watch = Watch(scene.proxy)
        ended = scene.controller.serinus("start", "shop", "--wait")
        assert (ended.returncode, ended.stdout.split(" (")[0]) == (0, "shop-1: promoted"), ended.stderr
        usable, requests = watch.end(), running.end()
        assert failed(requests) == []
        assert {request.answer for request in requests} == {"v1", "v2"}
        assert usable == {ENDPOINTS - 1, ENDPOINTS}
        assert scene.endpoints.running() == ["v2"] * ENDPOINTS
        assert scene.places() == {"v1": [], "v2": sorted(scene.endpoints.addresses)}
        assert scene.proxy.admin.service("shop")["split"] == {"v1": 0, "v2": ENDPOINTS}


def test_two_endpoints_may_be_out_at_a_time_and_all_of_it_can_be_taken_back(tmp_path: Path):
    with a_scene(tmp_path, "v2", {}, max_unavailable=2, settle="off", on={"no_data": "advance"}) as scene:
        with load(scene.proxy, kept=4, pause=0.005) as running:
            watch = Watch(scene.proxy)
            assert scene.controller.serinus("start", "shop", "--wait").returncode == 0
            assert scene.endpoints.running() == ["v2"] * ENDPOINTS
            assert scene.controller.serinus("abort", "shop", "--wait").returncode == 0
            usable, requests = watch.end(), running.end()
        assert failed(requests) == []
        assert min(usable) >= ENDPOINTS - 2
        assert scene.is_as_before()


def test_a_version_that_fails_its_probes_stops_at_the_first_endpoint_and_comes_back(tmp_path: Path):
    with a_scene(tmp_path, "unwell", {"timeout": "6s"}) as scene, load(scene.proxy, kept=4, pause=0.005) as running:
        watch = Watch(scene.proxy)
        ended = scene.controller.serinus("start", "shop", "--wait")
        assert ended.returncode == 1
        assert f"{scene.endpoints.addresses[0]} is not well with unwell after" in ended.stderr
        usable, requests = watch.end(), running.end()
        assert failed(requests) == []
        assert {request.answer for request in requests} == {"v1"}
        assert min(usable) >= ENDPOINTS - 1
        assert scene.is_as_before()
        assert len(scene.runs()) == 2


def test_a_version_that_fails_under_traffic_stops_at_the_first_endpoint_and_comes_back(tmp_path: Path):
    with a_scene(tmp_path, "broken", {}, settle="10m") as scene, load(scene.proxy, kept=4, pause=0.005) as running:
        wait_until(lambda: scene.proxy.answers()["v1"] >= 200, "for v1 to be known")
        watch = Watch(scene.proxy)
        ended = scene.controller.serinus("start", "shop", "--wait")
        back = time.monotonic_ns()
        assert ended.returncode == 1
        scene.proxy.ask()
        usable, requests = watch.end(), running.end()
        assert {request.failure for request in requests} == {""}
        assert {(request.status, request.answer) for request in requests} == {(200, "v1"), (500, "broken")}
        assert failed([request for request in requests if request.begin > back]) == []
        assert min(usable) >= ENDPOINTS - 1
        assert scene.is_as_before()
        assert len(scene.runs()) == 2


@pytest.mark.parametrize(
    ("version", "deploy", "detail"),
    [
        ("failing", {}, "exit status 3: no space left on the machine"),
        ("hanging", {"timeout": "6s"}, "killed after 6 s"),
    ],
)
def test_a_hook_that_fails_or_hangs_changes_nothing_and_says_why(
    tmp_path: Path, version: str, deploy: dict[str, Any], detail: str
):
    with a_scene(tmp_path, version, deploy) as scene, load(scene.proxy, kept=4, pause=0.005) as running:
        ended = scene.controller.serinus("start", "shop", "--wait")
        assert ended.returncode == 1
        assert f"{version} could not be deployed on {scene.endpoints.addresses[0]}: {detail}" in ended.stderr
        assert failed(running.end()) == []
        assert scene.is_as_before()
        first, second = scene.runs()
        assert (first["ok"], first["detail"], second["ok"]) == (False, detail, True)
        if version == "hanging":
            wait_until(lambda: has_ended(scene.endpoints.hanging), "for the whole process group to be ended")


def test_of_what_a_hook_says_the_end_is_kept_and_the_files_stay_small(tmp_path: Path):
    with a_scene(tmp_path, "talking", {}, settle="off", on={"no_data": "advance"}) as scene:
        assert scene.controller.serinus("start", "shop", "--wait").returncode == 0
        runs = scene.runs()
        assert [run["ok"] for run in runs] == [True] * ENDPOINTS
        for run, address in zip(runs, scene.endpoints.addresses, strict=True):
            assert run["output"].endswith(f"talking runs at {address}\n")
            assert len(run["output"]) == 4096
        folder = scene.proxy.folder / "state" / "controller" / "runs"
        assert sum(path.stat().st_size for path in folder.iterdir()) < TALK / 4


class Webhook(ThreadingHTTPServer):
    """A deploy webhook. It deploys what it is told to, unless it has an answer for the version or is told to hang."""

    daemon_threads = True

    def __init__(self, endpoints: Deployment) -> None:
        super().__init__(("127.0.0.1", 0), _Posts)
        self.endpoints = endpoints
        self.answers: dict[str, list[int]] = {}
        self.hangs_on = ""
        self.ending = threading.Event()
        self.asked: list[tuple[str, dict[str, str]]] = []


class _Posts(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.headers["Idempotency-Key"], asked))
        version = asked["version"]
        if version == self.server.hangs_on:
            self.server.ending.wait()
        answers = self.server.answers.get(version)
        status = (answers.pop(0) if answers else None) or 200
        if status == 200:
            self.server.endpoints.deploy(asked["endpoint"], version)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(f"{version}: {status}".encode())

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def a_webhook_scene(folder: Path, **deploy: Any) -> Iterator[tuple[Scene, Webhook]]:
    with ExitStack() as stack:
        # The address has to be known before the scene, and what it deploys on only with it.
        webhook = Webhook(None)  # type: ignore[arg-type]
        stack.callback(webhook.server_close)
        thread = threading.Thread(target=webhook.serve_forever, args=(0.05,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(webhook.shutdown)
        stack.callback(webhook.ending.set)
        url = f"http://127.0.0.1:{webhook.server_port}/deploy"
        settings: dict[str, Any] = {"settle": "off", "on": {"no_data": "advance"}}
        scene = stack.enter_context(a_scene(folder, "v2", {"webhook": url, **deploy}, **settings))
        webhook.endpoints = scene.endpoints
        yield scene, webhook


def test_a_webhook_deploys_and_is_posted_again_after_trouble(tmp_path: Path):
    with a_webhook_scene(tmp_path) as (scene, webhook), load(scene.proxy, kept=4, pause=0.005) as running:
        webhook.answers["v2"] = [200, 503]
        assert scene.controller.serinus("start", "shop", "--wait").returncode == 0
        assert failed(running.end()) == []
        assert scene.endpoints.running() == ["v2"] * ENDPOINTS
        expected = [f"shop-1.{n}" for n in (1, 2, 2, 3, 4)]
        assert [key for key, _ in webhook.asked] == expected
        values = {"service": "shop", "endpoint": scene.endpoints.addresses[0], "version": "v2", "previous": "v1"}
        assert webhook.asked[0][1] == values


@pytest.mark.parametrize(("hangs", "detail"), [(False, "status 409: v2: 409"), (True, "no good answer within 6 s")])
def test_a_webhook_that_refuses_or_hangs_rolls_back_through_the_webhook(tmp_path: Path, hangs: bool, detail: str):
    with a_webhook_scene(tmp_path, timeout="6s" if hangs else "60s") as (scene, webhook):
        webhook.answers["v2"] = [409]
        webhook.hangs_on = "v2" if hangs else ""
        ended = scene.controller.serinus("start", "shop", "--wait")
        assert ended.returncode == 1
        assert f"v2 could not be deployed on {scene.endpoints.addresses[0]}: {detail}" in ended.stderr
        wait_until(scene.is_as_before)
        assert [asked["version"] for _, asked in webhook.asked] == ["v2", "v1"]


def test_without_a_hook_it_says_what_it_waits_for_and_sees_the_endpoint_change(tmp_path: Path):
    with a_scene(tmp_path, "v2", settle="off", on={"no_data": "advance"}) as scene:
        with load(scene.proxy, kept=4, pause=0.005) as running:
            scene.controller.client.start("shop")
            for address in scene.endpoints.addresses[::2]:
                wait_for_somebody(scene, address)
                change(scene, address)
                following = scene.endpoints.addresses[scene.endpoints.addresses.index(address) + 1]
                wait_for_somebody(scene, following)
                scene.endpoints.deploy(following, "v2")
                scene.controller.client.order("shop-1", "promote", reason="deployed by hand")
            scene.controller.until("shop-1", "promoted")
            assert failed(running.end()) == []
        assert scene.endpoints.running() == ["v2"] * ENDPOINTS
        assert scene.places() == {"v1": [], "v2": sorted(scene.endpoints.addresses)}


def wait_for_somebody(scene: Scene, address: str) -> None:
    """Wait until the rollout waits for somebody to change an endpoint."""
    waits = f"waits until somebody puts v2 on {address}; `promote` says that it is there"
    scene.controller.until_it("shop-1", lambda found: found["waits"] == waits, waits)


def change(scene: Scene, address: str) -> None:
    """Change an endpoint so slowly that the proxy sees it going down and coming up."""
    scene.endpoints.stop(address)
    wait_until(lambda: not is_healthy(scene.proxy, address), "for the proxy to see that it is down")
    scene.endpoints.deploy(address, "v2")
