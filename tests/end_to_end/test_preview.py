"""The preview of a blue-green rollout, with a real proxy: the new version is reached before it has any weight."""

from pathlib import Path

from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import whole_proxy


def test_whoever_asks_for_the_preview_gets_the_new_version_before_the_switch_and_nobody_else(tmp_path: Path):
    with named_upstreams("blue", "green", "web") as places:
        api = {"versions": {name: {"endpoints": [places[name]]} for name in ("blue", "green")}, "active": "blue"}
        web = {"versions": {"v1": {"endpoints": [places["web"]]}}}
        preview = {"headers": {"X-Preview": "green"}}
        tree = {
            "services": {"api": api, "web": web},
            "routes": [{"match": {"path_prefix": "/api"}, "service": "api"}, {"service": "web"}],
            "rollouts": {"api": {"strategy": "blue-green", "from": "blue", "to": "green", "preview": preview}},
        }
        with whole_proxy(tmp_path, tree) as proxy:
            assert proxy.ask("/api/x", X_Preview="green") == (200, "green")
            assert proxy.ask("/api/x") == (200, "blue")
            assert proxy.ask("/api/x", X_Preview="blue") == (200, "blue")
            assert proxy.ask("/", X_Preview="green") == (200, "web")
            proxy.admin.activate("api", "green")
            assert proxy.ask("/api/x") == (200, "green")
            proxy.admin.activate("api", "blue")
            assert proxy.ask("/api/x", X_Preview="green") == (200, "green")
