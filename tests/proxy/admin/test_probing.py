"""What machines poll: alive, ready, metrics."""

import threading
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeSupervisor

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


async def test_alive_and_ready(api: Api):
    assert await api.get("/healthz") == {"status": "alive"}
    assert await api.get("/readyz") == {"status": "ready"}


def stop(supervisor: FakeSupervisor) -> None:
    supervisor.draining = True


def lose_workers(supervisor: FakeSupervisor) -> None:
    supervisor.workers_ready = 0


def fall_ill(supervisor: FakeSupervisor) -> None:
    for name, service in supervisor.live.services.items():
        for version, endpoints in service.versions.items():
            for endpoint in endpoints:
                supervisor.fell_ill(name, version, endpoint.address)


@pytest.mark.parametrize(
    ("befall", "reason"),
    [
        (stop, "The proxy is stopping"),
        (lose_workers, "No worker is ready yet"),
        (fall_ill, "No endpoint of any service is usable"),
    ],
)
async def test_not_ready_says_why_and_is_alive_all_the_same(
    api: Api, supervisor: FakeSupervisor, befall: Callable[[FakeSupervisor], None], reason: str
):
    befall(supervisor)
    status, content = await api.problem("GET", "/readyz")
    assert (status, content["detail"]) == (503, reason)
    await api.get("/healthz")


async def test_one_usable_endpoint_is_enough(api: Api, supervisor: FakeSupervisor):
    fall_ill(supervisor)
    del supervisor.health["cart", "blue", "unix:/run/blue.sock"]
    await api.get("/readyz")


async def test_metrics_are_the_text_that_prometheus_reads(api: Api):
    text = await api.get("/metrics")
    samples = [sample for family in parse_text(text) for sample in family.samples]
    assert [(sample.name, sample.labels, sample.value) for sample in samples if sample.name.endswith("_total")] == [
        ("serinus_requests_total", {"service": "shop"}, 3.0)
    ]


async def test_metrics_are_openmetrics_for_who_asks(api: Api):
    response = await api.client.get("/metrics", headers={"Accept": OPENMETRICS})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert [family.name for family in parse_openmetrics(await response.text())] == ["serinus_requests"]


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=x.y", "text/plain;version=", ";;,", "*/*", "text/html"]
)
async def test_an_odd_accept_gets_plain_metrics(api: Api, accept: str):
    response = await api.client.get("/metrics", headers={"Accept": accept})
    assert (response.status, response.content_type) == (200, "text/plain")


async def test_metrics_are_compressed_for_who_asks(api: Api):
    response = await api.client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert "serinus_requests_total" in await response.text()


async def test_metrics_are_rendered_beside_the_loop(api: Api, registry: CollectorRegistry):
    threads: list[threading.Thread] = []

    class Noting(Collector):
        def collect(self):
            threads.append(threading.current_thread())
            return [GaugeMetricFamily("noted", "Noted.", value=1.0)]

    registry.register(Noting())
    threads.clear()
    await api.get("/metrics")
    assert threads[0] is not threading.main_thread()
