"""Prometheus itself takes our metrics: promtool has nothing to complain about, and a server scrapes and sums them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.endpoints import free_address
from tests.support.knobbed_upstream import knobbed_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, whole_proxy

PACKAGE = "prometheus"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeProxy]:
    """A proxy that has served a little of everything: 40 good answers, 8 failures, 2 requests that no route matched."""
    with knobbed_upstreams("stable", "canary") as (stable, canary):
        canary.status = 503
        versions = {"stable": [stable.address], "canary": [canary.address]}
        tree = a_service(versions, {"stable": 1, "canary": 0}, ejection="off")
        routes = [{"match": {"path_prefix": "/shop"}, "service": "shop"}]
        with whole_proxy(tmp_path_factory.mktemp("proxy"), {**tree, "routes": routes}) as running:
            statuses = [running.ask(path)[0] for path in ["/shop"] * 40 + ["/nowhere"] * 2]
            running.admin.activate("shop", "canary")
            statuses += [running.ask("/shop")[0] for _ in range(8)]
            assert statuses == [200] * 40 + [404] * 2 + [503] * 8
            yield running


async def test_promtool_finds_nothing_to_complain_about(proxy: WholeProxy, require_tool: Callable[[str, str], str]):
    promtool = await asyncio.create_subprocess_exec(
        *(require_tool("promtool", PACKAGE), "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with aiohttp.ClientSession() as session, session.get(f"http://{proxy.admin_address}/metrics") as response:
        output, _ = await promtool.communicate(await response.read())
    assert (promtool.returncode, output.decode()) == (0, "")


async def test_a_prometheus_server_scrapes_and_sums(
    proxy: WholeProxy, require_tool: Callable[[str, str], str], tmp_path: Path
):
    async with scraping(require_tool("prometheus", PACKAGE), proxy.admin_address, tmp_path) as server:
        assert await server.answer_to("up") == {"{}": 1}
        by_code = "sum by (code) (serinus_requests_total)"
        assert await server.answer_to(by_code) == {'{"code": "200"}': 40, '{"code": "404"}': 2, '{"code": "503"}': 8}
        failed = 'sum by (version) (serinus_attempts_total{service="shop", outcome!~"ok|aborted"})'
        assert await server.answer_to(failed) == {'{"version": "stable"}': 0, '{"version": "canary"}': 8}
        median = 'sum(histogram_quantile(0.5, serinus_request_duration_seconds_bucket{version="stable"}))'
        assert 0 < (await server.answer_to(median))["{}"] < 30
        ups = await server.answer_to("sum(serinus_endpoint_up) by (service)")
        assert ups == {'{"service": "shop"}': 2}
        assert await server.answer_to('serinus_split_target_ratio{version="canary"}') == {
            '{"service": "shop", "version": "canary"}': 1
        }


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
