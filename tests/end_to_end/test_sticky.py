"""A browser with a cookie of ours stays with its version: after a restart, and while the canary grows."""

from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, build_opener

import pytest

from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import WholeProxy, a_service, whole_proxy

BROWSERS = 60


@pytest.fixture(scope="module")
def tree() -> Iterator[dict[str, Any]]:
    with named_upstreams("stable", "canary") as places:
        yield a_service(places, {"stable": 50, "canary": 50}, sticky={"key": ["own-cookie"]})


class Browser:
    """A client with a cookie jar."""

    def __init__(self) -> None:
        self.jar = CookieJar()
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(self.jar), ProxyHandler({}))

    def ask(self, proxy: WholeProxy) -> str:
        with self._opener.open(proxy.url, timeout=30) as response:
            return str(response.read().decode())

    @property
    def cookies(self) -> dict[str, str | None]:
        return {cookie.name: cookie.value for cookie in self.jar}


def test_a_browser_gets_the_same_version_across_restarts(tree: dict[str, Any], tmp_path: Path):
    browsers = [Browser() for _ in range(BROWSERS)]
    with whole_proxy(tmp_path, tree) as proxy:
        versions = [browser.ask(proxy) for browser in browsers]
        cookies = [browser.cookies for browser in browsers]
        assert set(versions) == {"stable", "canary"}
        assert len({cookie["serinus_uid"] for cookie in cookies}) == BROWSERS
        assert [browser.ask(proxy) for browser in browsers] == versions
    with whole_proxy(tmp_path, tree) as proxy:
        assert [browser.ask(proxy) for browser in browsers] == versions
    assert [browser.cookies for browser in browsers] == cookies


def test_nobody_leaves_a_canary_that_grows(tree: dict[str, Any], tmp_path: Path):
    browsers = [Browser() for _ in range(BROWSERS)]
    on_canary: set[int] = set()
    with whole_proxy(tmp_path, tree) as proxy:
        for weight in (10, 40, 70, 100):
            proxy.admin.set_split("shop", {"stable": 100 - weight, "canary": weight})
            now = {index for index, browser in enumerate(browsers) if browser.ask(proxy) == "canary"}
            assert on_canary <= now
            on_canary = now
    assert on_canary == set(range(BROWSERS))
