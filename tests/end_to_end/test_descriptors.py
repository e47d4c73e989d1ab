"""Few descriptors: clients that ask are served as long as others are idle, and nobody hangs."""

from __future__ import annotations

import sys
from http.client import HTTPConnection
from pathlib import Path

from tests.support.named_upstreams import named_upstreams
from tests.support.whole_proxy import a_service, whole_proxy

#: Runs the command with at most so many files open for each of its programs.
FEW = "import os, resource, sys; resource.setrlimit(7, (160, 160)); os.execv(sys.argv[1], sys.argv[1:])"
CLIENTS = 300


def test_more_clients_than_descriptors_are_all_served_while_others_are_idle(tmp_path: Path):
    with (
        named_upstreams("v1") as where,
        whole_proxy(tmp_path, a_service({"v1": where["v1"]}, {"v1": 1}), starter=[sys.executable, "-c", FEW]) as proxy,
    ):
        assert "so few files may be open" in proxy.log
        clients = []
        for _ in range(CLIENTS):
            client = HTTPConnection(*proxy.address, timeout=30)
            client.request("GET", "/")
            assert client.getresponse().read() == b"v1"
            clients.append(client)  # and keeps its connection
        assert proxy.ask() == (200, "v1")
        assert proxy.metrics()["serinus_connections{side=client}"] <= 2 * 160
        for client in clients:
            client.close()
