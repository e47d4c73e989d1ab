"""Faults at random, several at once, and what must hold whatever happens: row 30 of docs/failure-modes.md.

`python -m tests.chaos.monkey [FIRST [COUNT]]` plays the seeds from FIRST (0) on, COUNT (1,000) of them, against one
proxy with two workers and two versions, and says after each what it did. It ends with 1 at the first seed that shows
something wrong. What happens follows from the seed; how it meets the clients does not.

Invariants:
1. Every request ends in one whole answer that is its own, or in one broken connection; none waits for ever.
2. No POST is executed twice.
3. Generations rise; the weights are those that were set last; shares sum up to 1.
4. The metrics count each request that was answered once: only those that a killed worker had in flight may be missing.
5. When the faults are over, everybody is served, and no descriptor, connection, worker or request in flight is left.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cli.faults import Fault
from tests.support.accounts import GROWTH, Accounts
from tests.support.checked import checked
from tests.support.checked_load import Asking, Wishes, checked_load
from tests.support.peers import Peer
from tests.support.toxic_upstream import ToxicUpstreams, toxic_upstreams
from tests.support.toxics import TOXICS
from tests.support.whole_proxy import WholeProxy, a_service, wait_until, whole_proxy

VERSIONS: Final = ("stable", "canary")
CLIENTS: Final = 8
STEPS: Final = 5
AT_ONCE: Final = 3
SERVICE: Final[dict[str, Any]] = {
    "timeouts": {"connect": "300ms", "response": "1s", "idle": "1s"},
    "ejection": {"base_time": "200ms", "max_time": "1s"},
    "health": {"tcp": True, "interval": "200ms", "timeout": "200ms", "rise": 1},
    "drain": {"timeout": "1s", "jitter": "100ms"},
}
#: What a change would have made whose answer nobody waits for: it may be made later than the next one.
CUT: Final = {"stable": 30, "canary": 70}
#: A long time, so that a proxy that hangs is told from one that is slow on a busy machine.
PATIENCE: Final = 120.0


@dataclass
class Scene:
    """A proxy and its upstreams, and what the faults of one seed left to know."""

    proxy: WholeProxy
    upstreams: ToxicUpstreams
    chance: random.Random = field(default_factory=random.Random)
    kills: int = 0
    asked: int = 0
    generation: int = 0
    done: list[str] = field(default_factory=list)

    def short(self) -> None:
        """Let some time pass."""
        time.sleep(self.chance.uniform(0.02, 0.4))

    def see(self, generation: int) -> None:
        """A generation was seen: never one that is older than another."""
        assert generation >= self.generation, f"generation {generation} after {self.generation}"
        self.generation = generation


def _standing_still(*pids: int) -> Iterator[None]:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _a_worker(scene: Scene) -> int:
    """Also one that is dead and not replaced yet: who replaces it may stand still."""
    while not (workers := scene.proxy.workers()):
        time.sleep(0.01)
    return scene.chance.choice(workers)


# Faults: each is over when its block is. What they need is chosen at their beginning.


def kill_a_worker(scene: Scene) -> Iterator[None]:
    scene.kills += 1
    with suppress(ProcessLookupError):
        os.kill(_a_worker(scene), signal.SIGKILL)
    yield


def stop_a_worker(scene: Scene) -> Iterator[None]:
    yield from _standing_still(_a_worker(scene))


def stop_the_supervisor(scene: Scene) -> Iterator[None]:
    yield from _standing_still(scene.proxy.program.pid)


def stop_the_upstreams(scene: Scene) -> Iterator[None]:
    yield from _standing_still(scene.upstreams.program.pid)


def _upstream_that(do: str) -> Callable[[Scene], Iterator[None]]:
    def fault(scene: Scene) -> Iterator[None]:
        name = scene.chance.choice(VERSIONS)
        scene.upstreams.order(do, name)
        try:
            yield
        finally:
            scene.upstreams.order("listen", name)

    fault.__name__ = f"let_an_upstream_{do}"
    return fault


def poison_a_version(scene: Scene) -> Iterator[None]:
    name = scene.chance.choice(VERSIONS)
    # Not byte by byte: a long answer would take minutes.
    toxic = scene.chance.choice([toxic for toxic in TOXICS if toxic != "drip"])
    scene.done.append(toxic)
    scene.upstreams.order("toxic", name, toxic)
    try:
        yield
    finally:
        scene.upstreams.order("toxic", name)


def take_descriptors(scene: Scene) -> Iterator[None]:
    worker = _a_worker(scene)
    with suppress(OSError):
        before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{worker}/fd")) + 2, before[1]))
    yield
    with suppress(ProcessLookupError, UnboundLocalError):
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)


def flood(scene: Scene) -> Iterator[None]:
    peers = []
    for _ in range(100):
        with suppress(OSError):
            peers.append(Peer.connect(scene.proxy.address))
            peers[-1].send(b"GET / HT")
    yield
    for peer in peers:
        peer.reset()


def change_weights(scene: Scene) -> Iterator[None]:
    canary = scene.chance.randrange(101)
    wanted = {"stable": 100 - canary, "canary": canary}
    with suppress(Fault):  # not confirmed by a worker that is being replaced
        scene.see(int(scene.proxy.admin.set_split("shop", wanted)["generation"]))
        found = scene.proxy.admin.service("shop")["split"]
        assert found in (wanted, CUT), found
    yield


def read_the_file_again(scene: Scene) -> Iterator[None]:
    good = scene.proxy.path.read_text()
    if scene.chance.random() < 0.5:
        # Cut within a word, or what is left could be a good file with other timeouts.
        half = good[: good.index("versions") + 4]
        scene.proxy.path.write_text(scene.chance.choice([half, "no: configuration", ""]))
    scene.proxy.program.send_signal(signal.SIGHUP)
    yield
    scene.proxy.path.write_text(good)
    scene.proxy.program.send_signal(signal.SIGHUP)


def let_two_change_at_once(scene: Scene) -> Iterator[None]:
    """Of two changes that are based on one generation, at most one is made."""
    generation = int(scene.proxy.admin.state()["generation"])
    won = 0
    for _ in range(2):
        with suppress(Fault):
            scene.proxy.admin.set_split("shop", {"stable": 1, "canary": 1}, if_match=generation)
            won += 1
    assert won <= 1
    yield


def cut_a_change(scene: Scene) -> Iterator[None]:
    """Nobody hears the answer; it is made once, or not at all."""
    host, _, port = scene.proxy.admin_address.rpartition(":")
    text = json.dumps({"weights": CUT}).encode()
    head = b"PUT /v1/services/shop/split HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    whole = head + b"Content-Length: %d\r\n\r\n" % len(text) + text
    peer = Peer(socket.create_connection((host, int(port))))
    peer.send(whole[: scene.chance.choice([len(whole), len(whole) - 5, 40])])
    peer.reset()
    yield


def drain_and_return(scene: Scene) -> Iterator[None]:
    name = scene.chance.choice(VERSIONS)
    place = scene.upstreams.places[name]
    with suppress(Fault):
        scene.proxy.admin.set_endpoint_state("shop", name, place, scene.chance.choice(["drain", "down"]))
    yield
    with suppress(Fault):
        scene.proxy.admin.set_endpoint_state("shop", name, place, "up")


FAULTS: Final = (
    kill_a_worker, stop_a_worker, stop_the_supervisor, stop_the_upstreams, poison_a_version, take_descriptors, flood,
    change_weights, read_the_file_again, let_two_change_at_once, cut_a_change, drain_and_return,
    _upstream_that("refuse"), _upstream_that("silence"),
)  # fmt: skip
#: These talk to the supervisor or to the upstreams, and cannot while those stand still.
BY_TALKING: Final = frozenset(FAULTS) - {kill_a_worker, stop_a_worker, flood, take_descriptors}
#: Not beside others that do.
STOPS_WHO_TALKS: Final = frozenset({stop_the_supervisor, stop_the_upstreams})


def play(scene: Scene, seed: int) -> str:
    """Play one seed; what was done. Raises AssertionError where an invariant does not hold."""
    scene.chance, scene.kills, scene.asked, scene.done = random.Random(seed), 0, 0, []
    accounts = Accounts(scene.proxy)
    scene.upstreams.executed()
    toxics = ("", *scene.chance.sample([*TOXICS], 4))
    wishes = Wishes(clients=CLIENTS, seed=seed, toxics=toxics, rude=scene.chance.choice((0, 0.1)))
    with checked_load(scene.proxy.address, wishes) as load:
        for _ in range(STEPS):
            _fault(scene)
        asked = load.end()
    _check_requests(scene, asked)
    _check_state(scene)
    _check_recovery(scene)
    accounts.settle(growth=2 * GROWTH)
    _check_counts(scene, asked, accounts.counted())
    ends = Counter(each.status or each.broke for each in asked)
    return f"{', '.join(scene.done)}: {len(asked)} requests, {dict(sorted(ends.items(), key=str))}"


def _fault(scene: Scene) -> None:
    some = scene.chance.sample(FAULTS, scene.chance.randint(1, AT_ONCE))
    with ExitStack() as stack:
        for fault in sorted(some, key=lambda each: each not in BY_TALKING):
            if fault in STOPS_WHO_TALKS and set(some) & BY_TALKING != {fault}:
                continue
            scene.done.append(fault.__name__)
            stack.enter_context(_block(fault, scene))
        scene.short()


def _block(fault: Callable[[Scene], Iterator[None]], scene: Scene) -> AbstractContextManager[None]:
    return contextmanager(fault)(scene)


def _check_requests(scene: Scene, asked: list[Asking]) -> None:
    wrong = [each for each in asked if each.wrong]
    assert not wrong, wrong[:3]
    executed = scene.upstreams.executed()
    twice = [each for each in asked if each.is_post and executed[each.identity] > 1]
    assert not twice, twice[:3]


def _check_state(scene: Scene) -> None:
    state = scene.proxy.admin.state()
    scene.see(int(state["generation"]))
    shares = [value for name, value in scene.proxy.metrics().items() if name.startswith("serinus_split_target_ratio")]
    assert abs(sum(shares) - 1) < 1e-9, shares


def _check_recovery(scene: Scene) -> None:
    in_a_row = 0

    def is_well() -> bool:
        nonlocal in_a_row
        scene.asked += 1
        in_a_row = in_a_row + 1 if checked(scene.proxy.address).what == 200 else 0
        return in_a_row >= 20

    wait_until(is_well, "for all to be well again", PATIENCE)
    wait_until(lambda: scene.proxy.metrics()["serinus_workers{state=ready}"] == 2, "for two workers", PATIENCE)


def _check_counts(scene: Scene, asked: list[Asking], counted: Counter[int]) -> None:
    answered = sum(1 for each in asked if each.status) + scene.asked
    lost = scene.kills * 2 * CLIENTS
    sent = len(asked) + scene.asked + _FLOODED * scene.done.count("flood")
    assert answered - lost <= sum(counted.values()) <= sent, (answered, lost, counted, sent)


#: A head that stops is a request too, once its time is over: it is answered 408.
_FLOODED: Final = 100


@contextmanager
def a_scene(folder: Path) -> Iterator[Scene]:
    """A proxy with two versions, for as many seeds as one likes."""
    with toxic_upstreams(*VERSIONS) as upstreams:
        tree = {**a_service(upstreams.places, {"stable": 50, "canary": 50}, **SERVICE), "drain_timeout": "5s"}
        with whole_proxy(folder, tree) as proxy:
            checked(proxy.address)
            yield Scene(proxy, upstreams)


def main(first: str = "0", count: str = "1000") -> int:
    """Play seed after seed; 1 when one of them shows something wrong."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, a_scene(Path(folder)) as scene:
        for seed in range(int(first), int(first) + int(count)):
            try:
                print(f"seed {seed}: {play(scene, seed)}", flush=True)
            except AssertionError:
                print(f"seed {seed}: {', '.join(scene.done)}: NOT as it must be", flush=True)
                raise
    print(f"{count} seeds from {first} in {time.monotonic() - begun:.0f} s: every invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
