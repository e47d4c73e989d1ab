"""Prometheus itself takes our metrics: promtool has nothing to complain about, and a server scrapes and sums them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import choose_encoder

from proxy.core.outcome import Outcome, Reason
from proxy.metrics import SerinusCollector
from proxy.observations import Observations
from tests.support.endpoints import free_address
from tests.support.fake_supervisor import FakeSupervisor

PACKAGE = "prometheus"


@pytest.fixture
def registry() -> CollectorRegistry:
    """A proxy that has served a little of everything."""
    supervisor = FakeSupervisor(workers=2)
    canary = supervisor.slots.version("shop", "canary")
    for worker, slab in enumerate(supervisor.slabs):
        for milliseconds in range(100):
            slab.choose(canary, True)
            supervisor.attempt("canary", Outcome(milliseconds % 5), worker=worker)
            slab.end_request(canary, 200 if milliseconds % 5 == 0 else 502, Reason.UPSTREAM_RESET, milliseconds * 10**6)
        slab.end_request(0, 404, Reason.NO_ROUTE, 1000)
    registry = CollectorRegistry()
    registry.register(SerinusCollector(supervisor, Observations(supervisor)))
    return registry


async def test_promtool_finds_nothing_to_complain_about(
    registry: CollectorRegistry, require_tool: Callable[[str, str], str]
):
    promtool = await asyncio.create_subprocess_exec(
        *(require_tool("promtool", PACKAGE), "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await promtool.communicate(generate_latest(registry))
    assert (promtool.returncode, output.decode()) == (0, "")


async def test_a_prometheus_server_scrapes_and_sums(
    registry: CollectorRegistry, require_tool: Callable[[str, str], str], tmp_path: Path
):
    async with serving(registry) as target, scraping(require_tool("prometheus", PACKAGE), target, tmp_path) as server:
        assert await server.answer_to("up") == {"{}": 1}
        by_code = "sum by (code) (serinus_requests_total)"
        assert await server.answer_to(by_code) == {'{"code": "200"}': 40, '{"code": "404"}': 2, '{"code": "502"}': 160}
        failed = 'sum(serinus_attempts_total{service="shop", outcome!~"ok|aborted"})'
        assert await server.answer_to(failed) == {"{}": 160}
        median = 'histogram_quantile(0.5, serinus_request_duration_seconds_bucket{version="canary"})'
        ((_, seconds),) = (await server.answer_to(f"sum({median})")).items()
        assert 0.025 < seconds <= 0.1
        assert await server.answer_to("sum(serinus_endpoint_up) by (service)") == {
            '{"service": "shop"}': 3,
            '{"service": "cart"}': 1,
        }


@asynccontextmanager
async def serving(registry: CollectorRegistry) -> AsyncIterator[str]:
    """Serve /metrics in the format that is asked for; gives the address."""

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


class Server:
    """A running Prometheus."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def answer_to(self, query: str) -> dict[str, float]:
        """The values of an instant query by their labels, once there are any."""
        while True:
            try:
                async with self._session.get(f"{self._url}/api/v1/query", params={"query": query}) as response:
                    answer: dict[str, Any] = await response.json()
            except aiohttp.ClientError:
                answer = {}
            assert answer.get("status") != "error", answer
            if result := answer.get("data", {}).get("result"):
                return {json.dumps(_labels(series["metric"])): float(series["value"][1]) for series in result}
            await asyncio.sleep(0.1)


def _labels(metric: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in metric.items() if name not in {"__name__", "instance", "job"}}


@asynccontextmanager
async def scraping(program: str, target: str, folder: Path) -> AsyncIterator[Server]:
    """Run a Prometheus that scrapes `target` once a second."""
    jobs = [{"job_name": "serinus", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}]
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps({"scrape_configs": jobs}))  # JSON is YAML
    address = free_address()
    with (folder / "log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'storage'}",
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:
            yield Server(f"http://{address}", session)
    finally:
        server.terminate()
        await server.wait()
