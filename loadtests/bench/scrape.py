"""What a scrape of /metrics does to requests: 2,000 versions, scraped twice a second while others are served.

Owns: the scrapes. Requests are sent by the open loop, in turn with scrapes and without; the longest of their latencies
would show a stall.
"""

import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from loadtests.bench.faults import Invalid
from loadtests.bench.figures import Figure, Findings, Goal, Row, middle, percentile
from loadtests.bench.latency import latencies
from loadtests.bench.measure import Contender, Rig, proxy_running
from loadtests.bench.peers.many import MANY
from loadtests.bench.work import Work

_RATE = 2000.0  # requests per second: a stall of 1 ms meets two of them
_EVERY = 0.5  # seconds
_ROUNDS = 5
_GOAL_MS = 1.0


def measure_scrapes(
    rig: Rig, ours: Contender, rivals: Sequence[Contender], announce: Callable[[str], None], rounds: int = _ROUNDS
) -> Findings:
    """Percentiles in microseconds with scrapes and without."""
    without, with_scrapes, sizes = [], [], []
    with proxy_running(rig, ours) as proxy:
        latencies(rig, proxy.port, _RATE, 1.0)  # warm
        for number in range(1, rounds + 1):
            announce(f"without scrapes (round {number} of {rounds})")
            without.append(_percentiles(latencies(rig, proxy.port, _RATE)))
            announce(f"scraped twice a second (round {number} of {rounds})")
            with _scraped(proxy.admin) as scraped:
                with_scrapes.append(_percentiles(latencies(rig, proxy.port, _RATE)))
            sizes += scraped
    if not sizes:
        raise Invalid("nothing was scraped")
    rows = [Row("without scrapes", middle(without)), Row("scraped twice a second", middle(with_scrapes))]
    more = (rows[1].values[-1] or 0) - (rows[0].values[-1] or 0)
    goal = Goal(
        f"the longest not more than {_GOAL_MS:.0f} ms longer, measured {more / 1000:.2f} ms", more <= _GOAL_MS * 1000
    )
    return Findings(["50 % µs", "99 % µs", "longest µs"], rows, [goal], [f"a scrape had {max(sizes):,} bytes"])


def _percentiles(ordered: Sequence[int]) -> list[float]:
    return [percentile(ordered, 0.5) / 1000, percentile(ordered, 0.99) / 1000, ordered[-1] / 1000]


@contextmanager
def _scraped(port: int) -> Iterator[list[int]]:
    """Scrapes go on while the block lasts; gives the sizes of what they got."""
    over, sizes = threading.Event(), list[int]()

    def scrape() -> None:
        while not over.wait(_EVERY):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                sizes.append(len(answer.read()))

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield sizes
    finally:
        over.set()
        thread.join()


SCRAPE = Figure(
    "scrape",
    "requests while /metrics with 2,000 versions is scraped",
    Work("scrape", "", features=frozenset({MANY}), may_spread=True),
    measure_scrapes,
)
