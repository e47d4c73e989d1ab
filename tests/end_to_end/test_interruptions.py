"""What happens to a rollout when something around it is interrupted: a worker, the controller's disk, its last word, a
proxy. With real processes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cli.faults import Fault
from tests.support.canary_scene import canary_scene, kinds_of, policy, records_of, shop, weights_of
from tests.support.failing_upstreams import failing_upstreams
from tests.support.injected import fill, small_disk
from tests.support.load import load
from tests.support.whole_controller import whole_controller
from tests.support.whole_proxy import WholeProxy, wait_until, whole_proxy

pytestmark = pytest.mark.timeout(240)

#: The first step lasts until somebody promotes it.
GATED = policy((10, "1h"), (100, "1s"), promote="time")
ENDING = ("advanced", "concluded", "completed")


def counted(proxy: WholeProxy) -> dict[str, int]:
    """How many requests the proxy has counted second by second, of each version."""
    versions = proxy.admin._call("GET", "/v1/stats?seconds=900&service=shop")["services"]["shop"]
    return {name: sum(second["requests"] for second in version["seconds"]) for name, version in versions.items()}


def test_a_worker_that_is_killed_in_the_middle_of_a_bake_makes_no_count_wrong(tmp_path: Path):
    """Only what the dead worker had in flight may be missing; nothing is counted twice when its successor begins."""
    with canary_scene(tmp_path, GATED) as scene:
        with load(scene.proxy, kept=4, fresh=1, pause=0.01) as running:
            started = scene.controller.client.start("shop")
            wait_until(lambda: scene.upstreams.counts()["canary"].requests >= 20)
            before, first = counted(scene.proxy), scene.proxy.workers()
            os.kill(first[0], signal.SIGKILL)
            wait_until(lambda: len(scene.proxy.workers()) == 2 and scene.proxy.workers() != first)
            at_death = scene.upstreams.counts()["canary"].requests
            wait_until(lambda: scene.upstreams.counts()["canary"].requests >= at_death + 20)
            scene.controller.client.order(started["id"], "promote")
            scene.controller.until(started["id"], "promoted")
            requests = running.end()
        arrived = {version: number.requests for version, number in scene.upstreams.counts().items()}
        lost = sum(request.status != 200 for request in requests)
        wait_until(lambda: sum(counted(scene.proxy).values()) >= sum(arrived.values()) - lost, "for the last second")
        after = counted(scene.proxy)
        assert lost <= 5 * 2  # each client lost what it had in flight, and perhaps a try to connect
        for version, number in arrived.items():
            assert before[version] <= after[version]
            assert number - lost <= after[version] <= number
        assert scene.kinds(started["id"]) == ["created", "began", "prepared", *ENDING]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"])
def test_a_controller_that_is_ended_changes_nothing_and_goes_on_after_a_journal_was_cut(
    tmp_path: Path, number: signal.Signals, code: int
):
    with canary_scene(tmp_path, GATED) as scene, load(scene.proxy, kept=1, pause=0.02):
        started = scene.controller.client.start("shop")
        scene.controller.until_it(
            started["id"], lambda found: found["phase"] == "step" and found["applied"], "to have begun"
        )
        assert scene.controller.end(number) == code
        assert f"{number.name}: ending; the proxies go on as they are" in scene.controller.log
        assert scene.weights == {"stable": 90, "canary": 10}
        whole = scene.journal_path.read_bytes()
        scene.journal_path.write_bytes(whole[:-7])  # as a machine that loses its power may leave it
        scene.controller.start()
        assert "dropped the last line, which was cut off; nothing was done about it yet" in scene.controller.log
        scene.controller.until_it(started["id"], lambda found: found["applied"], "to be applied again")
        assert scene.weights == {"stable": 90, "canary": 10}
        scene.controller.client.order(started["id"], "promote")
        scene.controller.until(started["id"], "promoted")
        assert scene.kinds(started["id"]) == ["created", "began", "prepared", *ENDING]


def refusal(order: Callable[[], object]) -> str:
    """How an order is refused; tried again while what is left of the journal's last page has room."""
    for _ in range(200):
        try:
            order()
        except Fault as fault:
            return str(fault)
    raise AssertionError("the disk never gets full")


def test_a_full_disk_stops_what_goes_forward_and_not_the_way_back(tmp_path: Path):
    with small_disk(tmp_path) as disk:
        folder = tmp_path / "proxy"
        folder.mkdir()
        with canary_scene(folder, GATED, controller_state=disk) as scene, load(scene.proxy, kept=1, pause=0.02):
            client = scene.controller.client
            first = client.start("shop")["id"]
            scene.controller.until_it(first, lambda found: found["phase"] == "step" and found["applied"], "to begin")
            filler = fill(disk)
            trouble = f"{scene.journal_path} cannot be written (No space left on device): nothing moves forward"
            assert trouble in refusal(lambda: client.signal("shop", "good"))
            assert trouble in refusal(lambda: client.order(first, "promote"))
            assert client.rollouts()["trouble"] == trouble
            assert trouble in scene.controller.serinus("status").stdout
            assert (client.rollout(first)["phase"], scene.weights) == ("step", {"stable": 90, "canary": 10})

            client.order(first, "abort")
            scene.controller.until(first, "rolled_back")
            assert scene.weights == {"stable": 100, "canary": 0}
            assert trouble in refusal(lambda: client.start("shop"))

            filler.unlink()
            wait_until(lambda: not client.rollouts()["trouble"], "for what could not be written")
            second = client.start("shop")["id"]
            scene.controller.until(second, "step")
            client.order(second, "promote")
            scene.controller.until(second, "promoted")
            scene.controller.kill()
            records = records_of(disk)
            assert kinds_of(records, first)[-2:] == ["aborted", "restored"]
            assert kinds_of(records, second) == ["created", "began", "prepared", *ENDING]


@contextmanager
def standing_still(proxy: WholeProxy) -> Iterator[None]:
    """The supervisor does not answer; the workers serve."""
    os.kill(proxy.program.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(proxy.program.pid, signal.SIGCONT)


def test_of_two_proxies_the_counts_add_up_and_one_that_does_not_answer_is_an_error_and_no_silence(tmp_path: Path):
    """Neither forward nor back while it stands still; then the rollout goes on at both."""
    with ExitStack() as stack:
        upstreams = stack.enter_context(failing_upstreams("stable", "canary"))
        tree = {"services": {"shop": shop(upstreams)}, "rollouts": {"shop": GATED}}
        proxies = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            proxies.append(stack.enter_context(whole_proxy(folder, {**tree, "state_dir": str(folder / "state")})))
        led = [{"address": proxy.admin_address} for proxy in proxies]
        ruled = {**tree, "state_dir": str(tmp_path / "state"), "controller": {"proxies": led}}
        controller = stack.enter_context(whole_controller(proxies[0], ruled))
        for proxy in proxies:
            stack.enter_context(load(proxy, kept=2, pause=0.02))
        identity = controller.client.start("shop")["id"]
        controller.until_it(identity, lambda found: found["phase"] == "step" and found["applied"], "to begin")
        assert [weights_of(proxy) for proxy in proxies] == [{"stable": 90, "canary": 10}] * 2

        def judged() -> int:
            """How many requests of the new version the judge has seen."""
            verdicts = controller.client.why(identity)["now"]["verdicts"]
            errors = [verdict for verdict in verdicts if verdict["check"] == "error-rate"]
            return int(errors[0]["numbers"]["new"]["requests"]) if errors and errors[0]["numbers"] else 0

        wait_until(lambda: judged() > max_of_one(proxies), "for more than one proxy alone has counted")
        with standing_still(proxies[1]):
            controller.until_it(identity, lambda found: "does not answer" in found["waits"], "to miss a proxy")
            found = controller.client.rollout(identity)
            assert found["waits"].startswith("cannot judge: ")
            assert led[1]["address"] in found["waits"]
            assert (found["phase"], found["failed"]) == ("step", [])
            assert weights_of(proxies[0]) == {"stable": 90, "canary": 10}
        controller.until_it(identity, lambda found: "does not answer" not in found["waits"], "to see both again")
        controller.client.order(identity, "promote")
        controller.until(identity, "promoted")
        assert [weights_of(proxy) for proxy in proxies] == [{"stable": 0, "canary": 100}] * 2
        kinds = [each["event"] for each in controller.client.why(identity)["decisions"]]
        assert [kind for kind in kinds if kind != "applied"] == ["created", "began", "prepared", *ENDING]


def max_of_one(proxies: list[WholeProxy]) -> int:
    """The most that one proxy alone has counted for the new version."""
    return max(counted(proxy).get("canary", 0) for proxy in proxies)
