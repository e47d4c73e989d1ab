"""Latency at a given rate, without coordinated omission: each proxy at 50 % and 80 % of what it can do itself.

Owns: the rates and the percentiles. What a proxy can do is what the closed loop (wrk) gets through it in the same
surroundings. Then `openloop.c` sends requests when they are due, and the time of each begins when it was due.
"""

import subprocess
from array import array
from collections.abc import Callable, Sequence

from loadtests.bench.children import pinned
from loadtests.bench.faults import Invalid
from loadtests.bench.figures import Figure, Findings, Row, middle, percentile
from loadtests.bench.measure import Contender, Rig, measure, proxy_running
from loadtests.bench.work import Work

PARTS = (0.5, 0.8)
_ROUNDS = 3
_PERCENTILES = (0.5, 0.9, 0.99, 0.999)
_SPARE_SECONDS = 30.0


def measure_latency(
    rig: Rig, ours: Contender, rivals: Sequence[Contender], announce: Callable[[str], None], rounds: int = _ROUNDS
) -> Findings:
    """Percentiles in microseconds of everybody at both rates: the medians of the rounds, which go in turn."""
    everybody = [ours, *rivals]
    rates: dict[str, float] = {}
    for contender in everybody:
        announce(f"what {contender.peer.title} can do")
        rates[contender.peer.name] = measure(rig, contender).requests_per_second
    taken: dict[tuple[str, float], list[list[float]]] = {}
    for number in range(1, rounds + 1):
        for contender in everybody:
            for part in PARTS:
                name = contender.peer.name
                announce(f"{contender.peer.title} at {part:.0%} (round {number} of {rounds})")
                taken.setdefault((name, part), []).append(_percentiles(rig, contender, rates[name] * part))
    rows = [
        Row(f"{contender.peer.title} at {part:.0%}", [rates[name] * part, *middle(taken[name, part])])
        for part in PARTS
        for contender in everybody
        for name in [contender.peer.name]
    ]
    return Findings(["requests/s", *(f"{share:.1%} µs".replace(".0%", " %") for share in _PERCENTILES)], rows)


def _percentiles(rig: Rig, contender: Contender, rate: float) -> list[float]:
    with proxy_running(rig, contender) as proxy:
        ordered = latencies(rig, proxy.port, rate)
    return [percentile(ordered, share) / 1000 for share in _PERCENTILES]


def latencies(rig: Rig, port: int, rate: float, seconds: float | None = None) -> Sequence[int]:
    """The latencies of an open loop in nanoseconds, in order of length.

    Raises:
        Invalid: a request failed or was not answered.
    """
    file = rig.folder / "open-loop-request"
    fields = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **rig.work.headers}.items())
    file.write_text(f"GET / HTTP/1.1\r\n{fields}\r\n", newline="")
    lasts = rig.seconds if seconds is None else seconds
    words = [port, rate, lasts, rig.work.connections, file]
    with pinned(rig.cores.load):
        done = subprocess.run(
            [str(rig.open_loop.path), *map(str, words)],
            capture_output=True,
            check=False,
            timeout=lasts + _SPARE_SECONDS,
        )
    said = done.stderr.decode().split()
    if done.returncode or said[0] != said[2]:
        raise Invalid(f"the open loop: {done.stderr.decode().strip()}")
    found = array("Q", done.stdout)
    return sorted(found)


LATENCY = Figure(
    "latency", "latency at a given rate, 64 connections", Work("latency", "", connections=64), measure_latency
)
