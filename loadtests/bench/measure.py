"""Measuring: one proxy under load, then a pair, then all pairs of a peer.

Owns: the order of things within one measurement (start, wait, warm up, count, stop). Must not: compute ratios or show.
Invariants: a proxy is started afresh for each measurement and is alone on its core; what is counted lies wholly
within the load; a measurement in which anything failed is never returned.
"""

import http.client
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.builds import Build
from loadtests.bench.children import Cores, free_ports, running
from loadtests.bench.cpu_time import spent, thread_times
from loadtests.bench.faults import Invalid, OursFailed
from loadtests.bench.load import Backend, Counts, load_running
from loadtests.bench.peers import Peer, Places, configuration, render
from loadtests.bench.results import Comparison, Measurement, Pair
from loadtests.bench.work import Work

READY_SECONDS = 120.0  # the largest configuration, on a busy machine
# The certificates are made for the run; whether they are genuine is not what is measured.
ANYBODY = ssl._create_unverified_context()
WARM_UP_SECONDS = 0.5  # connections and pools are made, runtimes have seen the path a few thousand times
# Around the tenth that all are asked for: wide enough for chance (Envoy) and for a split by connection (the floor).
CANARY_SHARE = (0.05, 0.20)


@dataclass(frozen=True, slots=True)
class Contender:
    """A proxy and the build of it that is measured."""

    peer: Peer
    build: Build


@dataclass(frozen=True, slots=True)
class Rig:
    """What every measurement of one work shares."""

    work: Work
    cores: Cores
    generator: str
    backend: Backend
    folder: Path
    seconds: float
    open_loop: Build

    def url(self, port: int) -> str:
        """Where clients connect."""
        return f"{'https' if self.work.is_encrypted else 'http'}://127.0.0.1:{port}/"


def compare(rig: Rig, ours: Contender, peer: Contender, pairs: int, announce: Callable[[str], None]) -> Comparison:
    """Measure ours and the peer in turn, A B A B.

    Raises:
        Invalid: a measurement of the peer failed.
        OursFailed: one of ours failed.
    """
    made = []
    for number in range(1, pairs + 1):
        announce(f"{ours.peer.title} (against {peer.peer.title}, pair {number} of {pairs})")
        first = _measure_ours(rig, ours)
        announce(f"{peer.peer.title} (pair {number} of {pairs})")
        made.append(Pair(ours=first, peer=measure(rig, peer)))
    goal = rig.work.goals.get(peer.peer.name)
    return Comparison(peer.peer.name, peer.peer.title, peer.build, made, goal)


def _measure_ours(rig: Rig, ours: Contender) -> Measurement:
    try:
        return measure(rig, ours)
    except Invalid as exc:
        raise OursFailed(str(exc)) from exc


def measure(rig: Rig, contender: Contender) -> Measurement:
    """Start the proxy, load it, and count its processor time and the requests that came through.

    Raises:
        Invalid: it did not start or did not do its job, or something failed under load.
    """
    with proxy_running(rig, contender) as proxy:
        try:
            with load_running(rig.generator, rig.work, rig.url(proxy.port), rig.cores, rig.folder):
                time.sleep(WARM_UP_SECONDS)
                times, counts, began = thread_times(proxy.pid), rig.backend.counts(), time.monotonic()
                time.sleep(rig.seconds)
                cpu_ns = spent(times, thread_times(proxy.pid))
                seen, seconds = rig.backend.counts() - counts, time.monotonic() - began
            check_split(seen)
        except Invalid as exc:
            raise Invalid(f"{contender.peer.title}: {exc}") from exc
    return Measurement(cpu_ns=cpu_ns, requests=seen.total, seconds=seconds)


def check_split(seen: Counts) -> None:
    """Refuse a measurement in which the proxy did not split as it was told to.

    Raises:
        Invalid: no request came through, or the canary did not get about a tenth.
    """
    if not seen.total:
        raise Invalid("no request reached the backend")
    lowest, highest = CANARY_SHARE
    if not lowest <= seen.canary_share <= highest:
        raise Invalid(f"it did not split 90/10: {seen.canary_share:.1%} of {seen.total} requests went to the canary")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that runs: its process (its children are found from there), and the ports of its clients and its API."""

    pid: int
    port: int
    admin: int


@contextmanager
def proxy_running(rig: Rig, contender: Contender) -> Iterator[Proxy]:
    """The proxy, answering.

    Raises:
        Invalid: it does not.
    """
    peer = contender.peer
    listen, admin = free_ports(2)
    places = Places(
        listen=listen,
        admin=admin,
        stable=rig.backend.stable,
        canary=rig.backend.canary,
        folder=rig.folder,
        config=rig.folder / (peer.template or "no-configuration"),
    )
    places.config.write_text(configuration(peer, places, rig.work.features))
    command = [str(contender.build.path), *(render(word, places) for word in peer.arguments)]
    log = rig.folder / f"{peer.name}.log"
    cores = {rig.cores.proxy, rig.cores.load} if rig.work.may_spread else {rig.cores.proxy}
    with running(command, cores=cores, log=log, environment=peer.environment) as child:
        try:
            _wait_ready(child, rig.url(places.listen))
        except Invalid as exc:
            raise Invalid(f"{peer.title} {exc}; the end of its log:\n{_tail(log)}") from exc
        yield Proxy(child.pid, places.listen, places.admin)


def _wait_ready(child: "subprocess.Popen[bytes]", url: str) -> None:
    """Wait until the address answers a request with 200."""
    deadline = time.monotonic() + READY_SECONDS
    answer = "nothing"
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Invalid(f"ended with exit code {child.returncode} instead of answering")
        answer = _ask(url)
        if answer == "200":
            return
        time.sleep(0.02)
    raise Invalid(f"answered {answer} instead of 200 for {READY_SECONDS:.0f} s")


def _ask(url: str) -> str:
    """The status with which the address answers, or what kept it from answering."""
    try:
        with urllib.request.urlopen(url, timeout=2.0, context=ANYBODY) as response:
            return str(response.status)
    except urllib.error.HTTPError as exc:
        return str(exc.code)
    except (OSError, http.client.HTTPException) as exc:
        return type(exc).__name__


def _tail(log: Path, lines: int = 10) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(empty)"
