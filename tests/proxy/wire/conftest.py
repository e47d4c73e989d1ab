"""One worker for the tests of a module, and a scene of its own for each test."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.peers import listen_at
from tests.support.stage import Stage

Shared = tuple[OneWorker, dict[str, Any], Path]


@pytest.fixture(scope="module")
def shared_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A worker, where it listens beside its usual address, and the file of its complaints."""
    folder = tmp_path_factory.mktemp("worker")
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as v6,
        socket.create_server(("127.0.0.1", 0)) as narrow,
        listen_at(folder / "listener") as unix,
        (folder / "errors").open("w") as errors,
        one_worker(service([[1]]), also=(v6, narrow, unix), errors=errors) as worker,
    ):
        # What is accepted inherits it: an answer that the client does not read waits in the worker.
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        addresses = {"ipv6": v6.getsockname(), "narrow": narrow.getsockname(), "unix": unix.getsockname()}
        yield worker, addresses, folder / "errors"


@pytest.fixture
def stage(shared_worker: Shared, tmp_path: Path) -> Iterator[Stage]:
    worker, addresses, complaints = shared_worker
    with complaints.open() as errors:
        errors.seek(0, 2)
        scene = Stage(worker, addresses, tmp_path, errors)
        try:
            yield scene
        finally:
            scene.end()
