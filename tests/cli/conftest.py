"""A fake admin API, and `serinus` called in this interpreter."""

import socket
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from cli.main import serinus
from tests.cli.fake_admin import FakeAdmin, serving

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERINUS_ADMIN", raising=False)
    monkeypatch.delenv("SERINUS_TOKEN", raising=False)


@pytest.fixture
def admin() -> Iterator[FakeAdmin]:
    with serving() as fake:
        yield fake


@pytest.fixture
def run() -> Run:
    """Call `serinus` with arguments; environment variables as keywords."""
    return lambda *arguments, **environment: CliRunner().invoke(
        serinus, arguments, env=environment, prog_name="serinus"
    )


@pytest.fixture
def ask(admin: FakeAdmin, run: Run) -> Run:
    """Call `serinus` with the fake as its admin API."""
    return lambda *arguments, **environment: run(*arguments, SERINUS_ADMIN=admin.address, **environment)


@pytest.fixture
def unused_port() -> int:
    """A port on 127.0.0.1 where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
