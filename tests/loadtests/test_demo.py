"""The parts of the demonstration: the service with its knobs, the traffic, the life of a child."""

import asyncio
import hashlib
import os
import signal
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer

from cli.demo import BREAK_NAMES
from config.load import load
from config.model import CanaryRollout
from loadtests.demo.breaks import BREAKS
from loadtests.demo.children import Child
from loadtests.demo.configuration import ENDPOINTS, SERVICE, Walk, configuration
from loadtests.demo.service import EXPORT_SIZE, Knobs, Shop
from loadtests.demo.stage import USUAL_PORTS, Stage
from loadtests.demo.traffic import Recent, Tally, Traffic

# Nobody listens there: it needs root, and the port is reserved.
NOBODY = "http://127.0.0.1:1"

Client = TestClient[Any, Any]


@pytest.fixture
async def shop() -> AsyncIterator[Client]:
    async with TestClient(TestServer(Shop("canary").application())) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for tells no event
        await asyncio.sleep(0.01)


async def answer(shop: Client, method: str, path: str, **body: Any) -> tuple[int, Any]:
    async with shop.request(method, path, json=body or None) as response:
        return response.status, await response.json()


async def test_a_service_answers_with_its_version_and_a_number(shop: Client):
    assert await answer(shop, "GET", "/") == (200, {"version": "canary", "request": 1})
    assert await answer(shop, "POST", "/any/path") == (200, {"version": "canary", "request": 2})


async def test_its_knobs_make_it_fail_but_not_its_health_check(shop: Client):
    assert await answer(shop, "PUT", "/knobs", error_rate=1) == (200, {"error_rate": 1, "delay": "0s"})
    status, body = await answer(shop, "GET", "/")
    assert (status, body["version"]) == (500, "canary")
    assert (await answer(shop, "GET", "/healthz"))[0] == 200


@pytest.mark.parametrize("size", [0, 1, 900_000])
async def test_an_upload_is_answered_with_what_arrived(shop: Client, size: int):
    body = bytes(size)
    async with shop.post("/uploads", data=body) as response:
        found = (response.status, await response.json())
    assert found == (200, {"version": "canary", "bytes": size, "sha256": hashlib.sha256(body).hexdigest()})


async def test_an_upload_has_a_limit(shop: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("loadtests.demo.service._MOST_UPLOADED", 10)
    async with shop.post("/uploads", data=bytes(11)) as response:
        assert response.status == 413


async def test_an_export_is_large_and_has_its_digest(shop: Client):
    async with shop.get("/export") as response:
        body, digest = await response.read(), response.headers["Content-Digest"]
    assert (len(body), digest) == (EXPORT_SIZE, f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:")


async def test_an_echo_says_what_it_hears_until_it_is_closed(shop: Client):
    async with shop.ws_connect("/echo") as websocket:
        await websocket.send_str("text")
        await websocket.send_bytes(b"bytes")
        assert [(await websocket.receive()).data for _ in range(2)] == ["text", b"bytes"]
        await websocket.close()
        assert websocket.close_code == 1000


async def test_what_is_no_websocket_is_told_what_the_echo_speaks(shop: Client):
    assert (await answer(shop, "GET", "/echo"))[0] == 426


@pytest.mark.parametrize(("method", "path"), [("POST", "/uploads"), ("GET", "/export")])
async def test_its_knobs_are_for_every_path(shop: Client, method: str, path: str):
    await answer(shop, "PUT", "/knobs", error_rate=1)
    assert (await answer(shop, method, path))[0] == 500


async def test_an_echo_that_fails_does_not_begin(shop: Client):
    await answer(shop, "PUT", "/knobs", error_rate=1)
    with pytest.raises(WSServerHandshakeError):
        await shop.ws_connect("/echo")


async def test_its_knobs_can_be_looked_at(shop: Client):
    await answer(shop, "PUT", "/knobs", delay="1ms", error_rate="20%")
    assert await answer(shop, "GET", "/knobs") == (200, {"error_rate": 0.2, "delay": "1ms"})
    assert (await answer(shop, "GET", "/"))[0] in (200, 500)


@pytest.mark.parametrize(
    "wanted", [[], {"eror_rate": 1}, {"error_rate": 2, "delay": 1}, {"error_rate": 0.5, "delay": "x"}]
)
def test_knobs_are_turned_all_or_not_at_all(wanted: object):
    knobs = Knobs()
    with pytest.raises(ValueError, match=r"\w"):
        knobs.turn(wanted)
    assert knobs == Knobs()


async def test_a_knob_that_is_none_is_refused_with_what_to_send(shop: Client):
    status, body = await answer(shop, "PUT", "/knobs", speed=1)
    assert (status, "error_rate" in body["error"]) == (422, True)


async def test_traffic_counts_what_it_got_and_finishes_what_it_began(shop: Client):
    traffic = Traffic(str(shop.make_url("/")), rate=1000)
    running = asyncio.ensure_future(traffic.run())
    await until(lambda: traffic.tally.requests > 20)
    running.cancel()
    await asyncio.wait({running})
    answered = traffic.tally.answered["canary"]
    assert traffic.tally == Tally(requests=answered, answered=Counter(canary=answered))
    assert (await answer(shop, "GET", "/"))[1]["request"] == answered + 1


async def test_traffic_counts_an_answer_of_5xx_as_failed(shop: Client):
    await answer(shop, "PUT", "/knobs", error_rate=1)
    traffic = Traffic(str(shop.make_url("/")), rate=1000)
    running = asyncio.ensure_future(traffic.run())
    await until(lambda: traffic.tally.failed > 0)
    running.cancel()
    await asyncio.wait({running})
    assert traffic.tally.answered["canary"] == traffic.tally.requests == traffic.tally.failed
    assert traffic.tally.last_failure == "500 Internal Server Error"


async def test_traffic_goes_on_when_nobody_answers():
    traffic = Traffic(NOBODY, rate=1000)
    running = asyncio.ensure_future(traffic.run())
    await until(lambda: traffic.tally.failed > 2)
    running.cancel()
    await asyncio.wait({running})
    assert "Connect" in traffic.tally.last_failure


async def test_a_rate_of_0_makes_no_request(shop: Client):
    traffic = Traffic(str(shop.make_url("/")), rate=0)
    running = asyncio.ensure_future(traffic.run())
    assert (await answer(shop, "GET", "/"))[1]["request"] == 1
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def start(folder: Path, script: str) -> Child:
    child = await Child.start("child", [sys.executable, "-u", "-c", script], folder)
    await until(lambda: "ready" in child.last_words())
    return child


async def test_a_child_is_stopped_with_what_it_started(tmp_path: Path):
    child = await start(
        tmp_path,
        "import subprocess, sys\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(grandchild.pid, 'ready')\n"
        "grandchild.wait()\n",
    )
    grandchild = int(child.last_words().split()[0])
    await child.stop()
    await until(lambda: not is_alive(grandchild))
    assert child.program.returncode == -signal.SIGTERM


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("loadtests.demo.children._STOP_SECONDS", 0.05)
    child = await start(
        tmp_path,
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(60)\n",
    )
    await child.stop()
    assert child.program.returncode == -signal.SIGKILL


async def test_a_child_that_ended_by_itself_says_how_and_why(tmp_path: Path):
    child = await start(tmp_path, "import sys\nprint('ready')\nsys.exit('the disk is full')")
    await child.program.wait()
    await child.stop()
    assert child.obituary() == (
        f"child ({child.program.pid}) ended with exit code 1; its last words:\nready\nthe disk is full"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells a child that its parent is gone")
async def test_a_child_stops_when_its_parent_was_killed(tmp_path: Path):
    parent = await start(
        tmp_path,
        "import asyncio, sys, pathlib\n"
        "from loadtests.demo.children import Child\n"
        "async def main():\n"
        "    sleeping = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        f"    child = await Child.start('sleeper', sleeping, pathlib.Path({str(tmp_path)!r}))\n"
        "    print(child.program.pid, 'ready')\n"
        "    await child.program.wait()\n"
        "asyncio.run(main())\n",
    )
    sleeper = int(parent.last_words().split()[0])
    parent.program.kill()
    await until(lambda: not is_alive(sleeper))
    await parent.stop()


def test_a_tally_knows_what_each_version_did_lately():
    tally = Tally()
    tally.answer("stable", 1.0, 0.9, is_good=True)  # too long ago at 10
    for number in range(1, 101):
        tally.answer("stable", 9.0, number / 1000, is_good=True)
    tally.answer("canary", 9.5, 0.02, is_good=False)
    assert tally.recent(10.0) == {"stable": Recent(100, 0, 0.05, 0.099), "canary": Recent(1, 1, None, None)}
    assert (tally.answered, tally.failed_by) == (Counter(stable=101, canary=1), Counter(canary=1))
    assert tally.recent(100.0) == {}


@pytest.mark.parametrize("walk", [Walk(), Walk((10,), 600.0), Walk((0.5, 100), 0.5)])
def test_the_file_of_the_demonstration_is_a_good_one(walk: Walk, tmp_path: Path):
    file = tmp_path / "serinus.yaml"
    file.write_text(configuration(USUAL_PORTS, walk, workers="2", state_dir=str(tmp_path)), encoding="utf-8")
    rollout = load(file, {}).rollouts[SERVICE]
    assert isinstance(rollout, CanaryRollout)
    assert [step.weight for step in rollout.steps] == [*walk.weights]


@asynccontextmanager
async def shops() -> AsyncIterator[tuple[Stage, dict[str, Shop]]]:
    """A stage of which nothing runs but the endpoints, here."""
    async with AsyncExitStack() as stack:
        ports, found = dict(USUAL_PORTS), {}
        for version, endpoints in ENDPOINTS.items():
            for name, _ in endpoints:
                found[name] = Shop(version)
                server = await stack.enter_async_context(TestServer(found[name].application()))
                ports[name] = server.port or 0
        yield Stage(Path("serinus.yaml"), ports, []), found


@pytest.mark.parametrize(
    ("name", "knobs"), [("errors", Knobs(error_rate=1.0)), ("latency", Knobs(delay=0.16)), ("slow-leak", Knobs(1.0))]
)
async def test_a_break_makes_the_new_version_bad_and_leaves_the_old_one(
    name: str, knobs: Knobs, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("loadtests.demo.breaks._LEAK", 1.0)
    async with shops() as (where, found):
        breaking = asyncio.ensure_future(BREAKS[name].does(where))
        await until(lambda: found["canary"].knobs == knobs)
        await breaking
        assert [shop.knobs for shop in found.values() if shop.version == "stable"] == [Knobs(), Knobs()]


async def test_an_outage_hits_the_old_version_first_and_is_over_there_last(monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[float, float]] = []
    async with shops() as (where, found):

        async def note(_: float) -> None:
            seen.append((found["stable-2"].knobs.error_rate, found["canary"].knobs.error_rate))

        monkeypatch.setattr("loadtests.demo.breaks._rest", note)
        await BREAKS["outage"].does(where)
        assert seen == [(1, 0), (1, 1), (1, 0)]
        assert {shop.knobs.error_rate for shop in found.values()} == {0}


def test_the_command_knows_every_break():
    assert (*BREAKS,) == BREAK_NAMES


async def test_a_child_that_was_told_to_die_is_no_fault_of_the_stage(tmp_path: Path):
    script = "import time\nprint('ready')\ntime.sleep(60)"
    doomed, other = [replace(await start(tmp_path, script), name=name) for name in ("canary", "proxy")]
    where = Stage(tmp_path, USUAL_PORTS, [doomed, other])
    death = asyncio.ensure_future(where.wait_for_death())
    where.kill("canary")
    await doomed.program.wait()
    other.program.kill()
    assert str(await death).startswith(f"proxy ({other.program.pid}) was ended by SIGKILL")
    await doomed.stop()
    await other.stop()
