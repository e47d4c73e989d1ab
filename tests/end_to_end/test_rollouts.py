"""Rollouts with real processes: `serinus proxy` and `serinus controller`, two workers, real upstreams and traffic."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.controller import ControllerClient
from tests.support.whole_controller import WholeController
from tests.support.whole_proxy import WholeProxy, wait_until, whole_proxy

pytestmark = pytest.mark.timeout(180)


class Upstream:
    """One version: answers 200, or 500 while the test says so."""

    def __init__(self) -> None:
        self.fails = False
        upstream = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(500 if upstream.fails else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Traffic:
    """A steady stream of requests; counts what clients see."""

    def __init__(self, proxy: WholeProxy, rate: float = 50.0) -> None:
        self.good = 0
        self.bad = 0
        self._proxy = proxy
        self._pause = 1 / rate
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(self._pause):
            status, _ = self._proxy.ask()
            self.good += status == 200
            self.bad += status != 200

    def close(self) -> None:
        self._ending.set()
        self._thread.join()


class Scene:
    def __init__(self, proxy: WholeProxy, controller: WholeController, upstreams: dict[str, Upstream]) -> None:
        self.proxy = proxy
        self.controller = controller
        self.upstreams = upstreams

    @property
    def weights(self) -> dict[str, float]:
        return self.proxy.admin.service("shop")["split"]


@contextmanager
def a_scene(folder: Path, rollout: dict[str, Any]) -> Iterator[Scene]:
    upstreams = {"stable": Upstream(), "canary": Upstream()}
    versions = {name: {"endpoints": [upstream.address]} for name, upstream in upstreams.items()}
    shop = {"versions": versions, "split": {"stable": 1}, "retries": {"attempts": 0}, "ejection": "off"}
    tree = {
        "services": {"shop": shop},
        "state_dir": str(folder / "state"),
        "rollouts": {"shop": {"from": "stable", "to": "canary", **rollout}},
    }
    with whole_proxy(folder, {**tree, "state_dir": str(folder / "state")}) as proxy:
        controller = WholeController(proxy, tree)
        try:
            yield Scene(proxy, controller, upstreams)
        finally:
            if controller.program.poll() is None:
                controller.kill()
            print(controller.log)
    for upstream in upstreams.values():
        upstream.close()


TIMED = {
    "strategy": "canary",
    "promote": "time",
    "steps": [{"weight": 10, "bake": "2s"}, {"weight": 50, "bake": "2s"}, {"weight": 100, "bake": "2s"}],
}


def test_a_good_canary_is_promoted_without_a_failed_request_and_the_pipeline_hears_0(tmp_path: Path):
    with a_scene(tmp_path, TIMED) as scene:
        traffic = Traffic(scene.proxy)
        ended = scene.controller.serinus("start", "shop", "--wait", "--reason", "pipeline 7")
        traffic.close()
        assert (ended.returncode, ended.stdout.split(" (")[0]) == (0, "shop-1: promoted")
        assert scene.weights == {"stable": 0, "canary": 100}
        assert (traffic.bad, traffic.good > 0) == (0, True)
        why = scene.controller.serinus("why", "shop", "--json")
        assert json.loads(why.stdout)["decisions"][0]["sentence"].endswith("pipeline 7")
        assert scene.controller.end() == 0


def test_a_canary_that_always_fails_is_back_at_0_and_the_pipeline_hears_1(tmp_path: Path):
    slow = {"strategy": "canary", "steps": [{"weight": 10, "bake": "10m"}, {"weight": 100, "bake": "10m"}]}
    with a_scene(tmp_path, slow) as scene:
        traffic = Traffic(scene.proxy)
        time.sleep(5)  # some past to compare with
        scene.upstreams["canary"].fails = True
        ended = scene.controller.serinus("start", "shop", "--wait")
        traffic.close()
        assert ended.returncode == 1
        assert scene.weights == {"stable": 100, "canary": 0}
        print(f"clients saw {traffic.bad} bad requests of {traffic.bad + traffic.good}")
        assert traffic.bad > 0


def at_10_per_cent(scene: Scene) -> bool:
    return scene.weights == {"stable": 90, "canary": 10}


SLOW = {"strategy": "canary", "steps": [{"weight": 10, "bake": "10m"}, {"weight": 100, "bake": "10m"}]}


def test_the_breaker_of_a_rollout_acts_without_the_controller_which_rolls_back_when_it_comes_again(tmp_path: Path):
    with a_scene(tmp_path, SLOW) as scene:
        started = scene.controller.client.start("shop")
        wait_until(lambda: at_10_per_cent(scene))
        scene.controller.kill()
        scene.upstreams["canary"].fails = True
        traffic = Traffic(scene.proxy)
        wait_until(lambda: scene.weights["canary"] == 0, "for the breaker")
        traffic.close()
        assert scene.weights == {"stable": 90, "canary": 0}
        scene.controller.start()
        rollout = scene.controller.until(started["id"], "rolled_back")
        assert scene.weights == {"stable": 100, "canary": 0}
        assert "has taken canary out: breaker: " in rollout["why"]
        decisions = scene.controller.client.why(started["id"])["decisions"]
        kinds = [decision["event"] for decision in decisions if decision["event"] != "applied"]
        assert kinds[-3:] == ["failed", "turned_back", "restored"]


def lease_of(scene: Scene) -> dict[str, Any]:
    lease = scene.proxy.admin.service("shop")["lease"]
    return {} if lease is None else {**lease}


def reasons(scene: Scene, identity: str) -> list[tuple[str | None, str]]:
    decisions = scene.controller.client.why(identity)["decisions"]
    return [(each["event"], each["sentence"]) for each in decisions if each["event"] != "applied"]


def test_without_its_controller_the_proxy_rolls_back_when_the_lease_ends_whatever_its_workers_do(tmp_path: Path):
    with a_scene(tmp_path, {**SLOW, "on_controller_loss": {"after": "5s", "do": "rollback"}}) as scene:
        started = scene.controller.client.start("shop")
        wait_until(lambda: at_10_per_cent(scene) and lease_of(scene)["do"] == "rollback")
        time.sleep(6)  # longer than the lease: it is renewed as long as somebody is there
        assert (at_10_per_cent(scene), lease_of(scene)["ran_out"]) == (True, None)
        scene.controller.kill()
        os.kill(scene.proxy.workers()[0], signal.SIGKILL)
        wait_until(lambda: lease_of(scene)["ran_out"], "for the lease to run out")
        assert (scene.weights, lease_of(scene)["ran_out"]["done"]) == ({"stable": 100, "canary": 0}, "rolled back")
        assert scene.proxy.metrics()["serinus_leases_run_out_total{done=rolled back,service=shop}"] == 1
        scene.controller.start()
        rollout = scene.controller.until(started["id"], "rolled_back")
        why = "has taken canary out by itself: nothing was heard of rollout shop-1 for 5 s"
        assert rollout["why"].endswith(why)
        assert [event for event, _ in reasons(scene, started["id"])][-3:] == ["failed", "turned_back", "restored"]
        wait_until(lambda: lease_of(scene) == {}, "for the lease to end")


def test_without_its_controller_the_proxy_holds_when_the_policy_says_so_and_goes_on_with_the_next_one(tmp_path: Path):
    steps = [{"weight": 10, "bake": "8s"}, {"weight": 100, "bake": "1s"}]
    policy = {"strategy": "canary", "promote": "time", "steps": steps, "on_controller_loss": {"after": "3s"}}
    with a_scene(tmp_path, policy) as scene:
        started = scene.controller.client.start("shop")
        wait_until(lambda: at_10_per_cent(scene) and lease_of(scene))
        scene.controller.until_it(started["id"], lambda rollout: rollout["elapsed"] > 0, "to bake")
        scene.controller.kill()
        wait_until(lambda: lease_of(scene)["ran_out"], "for the lease to run out")
        assert (at_10_per_cent(scene), lease_of(scene)["ran_out"]["done"]) == (True, "held")
        scene.controller.start()
        scene.controller.until(started["id"], "promoted")
        held = [sentence for event, sentence in reasons(scene, started["id"]) if event == "missed"]
        assert any("has held the split: nothing was heard of rollout shop-1 for 3 s" in each for each in held)
        assert scene.weights == {"stable": 0, "canary": 100}


@pytest.mark.parametrize("moment", [0.2, 2.5, 6.0])
def test_a_killed_controller_goes_on_in_the_middle_of_the_step(tmp_path: Path, moment: float):
    with a_scene(tmp_path, TIMED) as scene:
        started = scene.controller.client.start("shop")
        time.sleep(moment)
        scene.controller.kill()
        before = scene.weights
        time.sleep(1)
        assert scene.weights == before
        scene.controller.start()
        scene.controller.until(started["id"], "promoted")
        assert scene.weights == {"stable": 0, "canary": 100}


@contextmanager
def a_second_controller(scene: Scene, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another controller of the same file, that waits for its turn."""
    log = folder / "second.log"
    with log.open("wb") as output:
        second = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", "controller", "-c", str(scene.controller.path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "waiting until it has gone" in log.read_text())
        yield second
    finally:
        second.kill()
        second.wait()
        print(log.read_text())


def test_a_second_controller_waits_and_takes_over(tmp_path: Path):
    with a_scene(tmp_path, TIMED) as scene, a_second_controller(scene, tmp_path) as second:
        scene.controller.client.start("shop")
        scene.controller.kill()
        wait_until(lambda: scene.weights == {"stable": 0, "canary": 100})
        second.send_signal(signal.SIGINT)
        assert second.wait(30) == 130


def test_a_controller_that_waits_for_its_turn_can_be_ended(tmp_path: Path):
    with a_scene(tmp_path, TIMED) as scene, a_second_controller(scene, tmp_path) as second:
        second.terminate()
        assert second.wait(30) == 0


def test_a_journal_of_somebody_else_is_refused_with_what_to_do(tmp_path: Path):
    with a_scene(tmp_path, TIMED) as scene:
        scene.controller.end()
        journal = tmp_path / "state" / "controller" / "journal.jsonl"
        journal.write_text("# buy milk\n")
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "cli", "controller", "-c", str(scene.controller.path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 1
        assert f"mv {journal} {journal}.bad" in ended.stderr
        assert scene.proxy.ask()[0] == 200


def test_up_runs_both_in_one_terminal_and_ends_both(tmp_path: Path):
    upstream = Upstream()
    ports = _free_ports(3)
    tree = {
        "listen": [{"address": f"127.0.0.1:{ports[0]}"}],
        "admin": {"address": f"127.0.0.1:{ports[1]}"},
        "controller": {"address": f"127.0.0.1:{ports[2]}", "interval": "200ms"},
        "workers": 1,
        "access_log": "off",
        "services": {
            "shop": {
                "versions": {"stable": {"endpoints": [upstream.address]}, "canary": {"endpoints": ["127.0.0.1:1"]}},
                "split": {"stable": 1},
            }
        },
        "rollouts": {"shop": {"from": "stable", "to": "canary", "strategy": "blue-green"}},
    }
    path = tmp_path / "serinus.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    log = tmp_path / "log"
    with log.open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", "up", "-c", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "workers serve" in log.read_text() and "leads 127.0.0.1" in log.read_text())
        client = ControllerClient(f"127.0.0.1:{ports[2]}")
        assert client.rollouts()["rollouts"] == []
        children = [int(pid) for pid in Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()]
        controller = next(pid for pid in children if b"controller" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(controller, signal.SIGKILL)
        wait_until(lambda: log.read_text().count("leads 127.0.0.1") == 2)
        assert client.rollouts()["rollouts"] == []
        program.send_signal(signal.SIGTERM)
        assert program.wait(60) == 0, log.read_text()
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    finally:
        program.kill()
        program.wait()
        upstream.close()
        print(log.read_text())


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
