"""Thousands of changes under millions of requests, each of which is checked: none fails, and each share is exact.

Every change is made while requests are on their way. Then they are held for a moment, and the answers from there to
the next moment of that kind are counted: these are of one set of weights, and none is in flight at either end.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.accounts import Accounts
from tests.support.checked_client import CheckedClient, backends, checked_client
from tests.support.long_forms import IS_LONG, long_or
from tests.support.whole_proxy import a_service, whole_proxy

NAMES: Final = ("stable", "canary")
WORKERS: Final = 2
KEPT, FRESH = 24, 2
REQUESTS: Final = long_or(10_000, 10_000_000)
CHANGES: Final = long_or(20, 10_000)
SWAPS: Final = long_or(4, 1_000)
#: The requests of a step whose shares are counted; the others meet the change.
COUNTED: Final = REQUESTS // (CHANGES + SWAPS) // 2
#: Any run of requests has its shares within 2 at each worker (proxy/core/splitting.pyx, rule 2).
BOUND: Final = 2 * WORKERS

pytestmark = pytest.mark.timeout(3 * 3600 if IS_LONG else 120)


def a_file(places: dict[str, str], number: int = 0) -> dict[str, Any]:
    """The n-th file: another timeout, and one version more or less. Weights that were set live stay above its own."""
    versions = {name: place for name, place in places.items() if name in NAMES or number % 2}
    return a_service(versions, {"stable": 50, "canary": 50}, timeouts={"response": f"{20 + number % 7}s"})


def test_no_change_costs_a_request_and_after_each_every_version_has_its_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with backends(tmp_path, *NAMES, "spare") as places, whole_proxy(tmp_path, a_file(places)) as proxy:
        accounts, chance, farthest, steps = Accounts(proxy), random.Random(1), 0.0, CHANGES + SWAPS
        canary, files = 50, 0
        with checked_client(tmp_path, proxy.address[1], NAMES, KEPT, FRESH) as client:
            client.wait_for(2 * (KEPT + FRESH))
            for number in range(steps):
                if (number + 1) * SWAPS // steps > files:
                    files += 1
                    proxy.write(a_file(places, files))
                    proxy.admin.reload()
                else:
                    canary = chance.choice((chance.randrange(101), chance.randrange(101), 1, 0, 100))
                    proxy.admin.set_split("shop", {"stable": 100 - canary, "canary": canary})
                farthest = max(farthest, distance(client, canary / 100))
                assert farthest <= BOUND, (number, canary)
                assert client.trouble() == {}, number
                client.wait_for(REQUESTS * (number + 1) // steps)
                if number % 1000 == 999:
                    tell(capsys, client, f"{number + 1} changes, {files} of them files")
            answers = dict(zip(NAMES, client.hold(), strict=True))
            assert client.trouble() == {}
            assert proxy.answers() == answers
            assert sum(answers.values()) >= REQUESTS
            tell(capsys, client, f"{CHANGES} changes of weights, {SWAPS} files, shares within {farthest:.2f} requests")
        accounts.settle()


def distance(client: CheckedClient, share: float) -> float:
    """How far the requests of the second version are from its share of a run of them."""
    before = client.hold()
    client.go_on()
    client.wait_for(sum(before) + COUNTED)
    after = client.hold()
    client.go_on()
    return abs(after[1] - before[1] - share * (sum(after) - sum(before)))


def tell(capsys: pytest.CaptureFixture[str], client: CheckedClient, what: str) -> None:
    """Show how far it is."""
    fresh = client.seen("connections")
    with capsys.disabled():
        print(f"\n{what}: {client.answers()} good answers on {fresh} connections, {client.trouble() or 'no trouble'}")
