"""How long a change of weights takes while two workers serve: with one service, and with a thousand.

Owns: the calls of the admin API and their times. The call is answered when every worker has said that it acts on the
change, so its time is also the time of the change. The load of the work goes on meanwhile; one failed request of it
makes the figure invalid.
"""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace

from loadtests.bench.faults import Invalid
from loadtests.bench.figures import Figure, Findings, Goal, Row, percentile
from loadtests.bench.load import load_running
from loadtests.bench.measure import READY_SECONDS, WARM_UP_SECONDS, Contender, Proxy, Rig, proxy_running
from loadtests.bench.peers.many import MANY
from loadtests.bench.work import Work

CHANGES = 10_000
FEW = 200  # with many services
_GOAL_MS, _GOAL_MANY_MS = 10.0, 200.0
_WEIGHTS = ((90, 10), (50, 50), (99, 1), (89, 11))


def measure_changes(
    rig: Rig,
    ours: Contender,
    rivals: Sequence[Contender],
    announce: Callable[[str], None],
    counts: tuple[int, int] = (CHANGES, FEW),
) -> Findings:
    """Milliseconds of a change: 50th and 99th percentile and the longest."""
    wide = replace(rig, work=replace(rig.work, features=rig.work.features | {MANY}))
    announce(f"{counts[0]:,} changes of weights under load")
    few = times(rig, ours, counts[0])
    announce(f"{counts[1]:,} changes of weights under load, with 1,000 services")
    many = times(wide, ours, counts[1])
    rows = [_row(f"{counts[0]:,} changes, one service", few), _row(f"{counts[1]:,} changes, 1,000 services", many)]
    goals = [
        Goal(f"99 % within {_GOAL_MS:.0f} ms, measured {rows[0].values[1]:.1f} ms", percentile(few, 0.99) <= _GOAL_MS),
        Goal(
            f"with 1,000 services within {_GOAL_MANY_MS:.0f} ms, measured {many[-1]:.0f} ms", many[-1] <= _GOAL_MANY_MS
        ),
    ]
    return Findings(["50 %, ms", "99 %, ms", "longest, ms"], rows, goals, ["no request failed meanwhile"])


def times(rig: Rig, ours: Contender, count: int) -> list[float]:
    """The times of so many changes in milliseconds, in order of length.

    Raises:
        Invalid: a change or a request failed.
    """
    with (
        proxy_running(rig, ours) as proxy,
        load_running(rig.generator, rig.work, rig.url(proxy.port), rig.cores, rig.folder),
    ):
        time.sleep(WARM_UP_SECONDS)
        return sorted(_change(proxy, count))


def _change(proxy: Proxy, count: int) -> list[float]:
    taken = []
    with closing(_connected(proxy.admin)) as admin:
        for number in range(count):
            stable, canary = _WEIGHTS[number % len(_WEIGHTS)]
            body = json.dumps({"weights": {"stable": stable, "canary": canary}, "reason": "bench"})
            began = time.perf_counter()
            admin.request("PUT", "/v1/services/shop/split", body, {"Content-Type": "application/json"})
            answer = admin.getresponse()
            said = answer.read()
            taken.append((time.perf_counter() - began) * 1000)
            if answer.status != 200:
                raise Invalid(f"a change was answered {answer.status}: {said.decode(errors='replace')}")
    return taken


def _connected(port: int) -> http.client.HTTPConnection:
    """A connection to the admin API, which comes up after the workers."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
        try:
            connection.connect()
            return connection
        except ConnectionRefusedError as exc:
            if time.monotonic() > deadline:
                raise Invalid(f"the admin API does not listen after {READY_SECONDS:.0f} s") from exc
            time.sleep(0.05)


def _row(title: str, ordered: Sequence[float]) -> Row:
    return Row(title, [percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1]])


CHANGES_UNDER_LOAD = Figure(
    "changes",
    "changes of weights under load, two workers",
    Work("changes", "", features=frozenset({"two_workers"}), may_spread=True),
    measure_changes,
)
