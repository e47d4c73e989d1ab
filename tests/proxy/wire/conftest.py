"""One worker for the tests of a module, and a scene of its own for each test."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.peers import listen_at
from tests.support.stage import Addresses, Stage

Shared = tuple[OneWorker, Addresses, Path]


@pytest.fixture(scope="module")
def shared_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A worker that listens on IPv4, IPv6 and a unix socket, where it does so, and the file of its complaints."""
    folder = tmp_path_factory.mktemp("worker")
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as v6,
        listen_at(folder / "listener") as unix,
        (folder / "errors").open("w") as errors,
        one_worker(service([[1]]), also=(v6, unix), errors=errors) as worker,
    ):
        yield worker, {v6.family: v6.getsockname(), unix.family: unix.getsockname()}, folder / "errors"


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
