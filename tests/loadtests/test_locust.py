"""Real loads by Locust: alone against the demo, and by a worker that reports to a master."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from loadtests import run
from loadtests.demo.service import Shop


class MisledShop:
    """A service and its proxy in one: all should go to the new version, and all goes to the old one."""

    def __init__(self) -> None:
        self.shop = Shop("stable")
        self.requests = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        response = await self.shop.answer(request)
        response.headers["X-Serinus-Version"] = "stable"
        if self.requests == 3:
            response.set_status(500)
        return response

    async def tell(self, request: web.Request) -> web.Response:
        shares = {"stable": 0.0, "canary": 1.0}
        return web.json_response({"versions": {name: {"target": share} for name, share in shares.items()}})

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/v1/services/shop", self.tell)
        application.router.add_get("/{path:.*}", self.answer)
        return application


def complaints(logged: str) -> list[str]:
    return [line for line in logged.splitlines() if line.startswith("load test")]


async def load(*arguments: str) -> int:
    return await run.main(["--users", "20", *arguments])


@pytest.mark.timeout(120)
async def test_every_user_finds_the_demo_good_while_its_rollout_is_under_way(capfd: pytest.CaptureFixture[str]):
    code = await load("--shape", "soak", "--seconds", "2", "--workers", "1")
    printed, logged = capfd.readouterr()
    assert (code, complaints(logged)) == (0, [])
    assert "rollout shop-1: step\n" in printed
    assert " requests, 0 failed: good\n" in printed
    names = {"preview", "slow reader", "steady", "sticky", "upload", "websocket"}
    assert {name for name in names if f" {name} " in logged} == names


@pytest.mark.timeout(120)
async def test_the_master_judges_all_that_its_worker_has_seen(capfd: pytest.CaptureFixture[str]):
    misled, port = MisledShop(), str(unused_port())
    async with TestServer(misled.application()) as server:
        url = str(server.make_url("")).rstrip("/")
        where = ["--host", url, "--admin", url, "--classes", "SteadyUser", "--seconds", "1"]
        code = await load(*where, "--", "--processes", "1", "--master-bind-port", port, "--master-port", port)
    total = misled.requests
    printed, logged = capfd.readouterr()
    assert f"\n{total} requests, 1 failed: not good\n" in f"\n{printed}"
    assert complaints(logged) == [
        f"load test: 1 of {total} requests failed; the budget is 0.00%",
        f"load test: stable got 100.00% of {total} requests where it should have 0.00% ± 0.00%",
        f"load test: canary got 0.00% of {total} requests where it should have 100.00% ± 0.00%",
    ]
    assert code == 1
