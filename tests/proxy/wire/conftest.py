"""One worker for the tests of a module, and a scene of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.one_worker import OneWorker, one_worker, service
from tests.support.stage import Stage


@pytest.fixture(scope="module")
def shared_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OneWorker, Path]]:
    folder = tmp_path_factory.mktemp("worker")
    with (folder / "errors").open("w") as errors, one_worker(service([[1]]), folder=folder, errors=errors) as worker:
        yield worker, folder


@pytest.fixture
def stage(shared_worker: tuple[OneWorker, Path], tmp_path: Path) -> Iterator[Stage]:
    worker, folder = shared_worker
    with (folder / "errors").open() as errors:
        errors.seek(0, 2)
        scene = Stage(worker, tmp_path, errors)
        try:
            yield scene
        finally:
            scene.end()
