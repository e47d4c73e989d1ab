"""Who gets in: what of `webapi.gate` depends on the proxy."""

import pytest
from prometheus_client import CollectorRegistry

from proxy.admin.app import create_app
from tests.proxy.admin.conftest import Api
from tests.proxy.admin.fakes import FakeObservations, FakeSupervisor
from tests.support.lives import a_config
from webapi.gate import WRONG_TOKENS

GOOD = {"Authorization": "Bearer correct-horse"}


@pytest.fixture
def supervisor() -> FakeSupervisor:
    return FakeSupervisor(a_config(admin={"address": "0.0.0.0:0", "token": "correct-horse"}))


def test_an_address_that_others_reach_needs_a_token(observations: FakeObservations, registry: CollectorRegistry):
    config = a_config(admin={"address": "0.0.0.0:0", "token": "correct-horse"})
    unguarded = config.admin.model_copy(update={"token": None})  # what the configuration itself refuses
    supervisor = FakeSupervisor(config.model_copy(update={"admin": unguarded}))
    with pytest.raises(ValueError, match=r"is not local: set admin.token or admin.token_file"):
        create_app(supervisor, observations, registry)


@pytest.mark.parametrize("path", ["/v1/state", "/metrics", "/openapi.json", "/nowhere"])
async def test_without_a_token_there_is_nothing_to_see(api: Api, path: str):
    assert (await api.problem("GET", path))[0] == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_need_no_token(api: Api, path: str):
    await api.get(path)


async def test_a_token_that_a_reload_brought_counts_at_once(api: Api, supervisor: FakeSupervisor):
    supervisor.file = a_config(admin={"address": "0.0.0.0:0", "token": "another"})
    await api.ask("POST", "/v1/reload", headers=GOOD)
    assert (await api.problem("GET", "/v1/state", headers=GOOD))[0] == 401
    await api.get("/v1/state", headers={"Authorization": "Bearer another"})


async def test_who_guesses_tokens_is_slowed_down_and_learns_nothing(api: Api):
    guesses = [{"Authorization": f"Bearer guess-{number}"} for number in range(WRONG_TOKENS)]
    for headers, status in (*((guess, 401) for guess in guesses), (GOOD, 429)):
        assert (await api.problem("POST", "/v1/reload", headers=headers))[0] == status
