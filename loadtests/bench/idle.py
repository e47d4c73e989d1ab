"""Memory that an idle kept connection takes: up to 10,000 clients who have asked once and then say nothing.

Owns: the clients and the arithmetic. The memory is the proportional set size of all processes of a proxy (a page that
several share counts in parts), so it is what the proxy itself holds; buffers of the kernel are the same for everybody.
"""

import resource
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from loadtests.bench.cpu_time import family
from loadtests.bench.faults import Invalid
from loadtests.bench.figures import Figure, Findings, Goal, Row
from loadtests.bench.measure import Contender, Rig, proxy_running
from loadtests.bench.work import OTHERS, Work

CONNECTIONS = 10_000
_FIRST = 200  # connections that make the proxy take what it takes only once
_SPARE = 2000  # descriptors for everything else
_GOAL = 1.5
_REQUEST = b"GET / HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"


def measure_idle(
    rig: Rig, ours: Contender, rivals: Sequence[Contender], announce: Callable[[str], None], count: int = CONNECTIONS
) -> Findings:
    """Bytes for each idle connection, ours and the others."""
    count = _affordable(count)
    taken: dict[str, float] = {}
    for contender in (ours, *rivals):
        announce(f"{contender.peer.title} with {count:,} idle connections")
        taken[contender.peer.title] = _bytes_per_connection(rig, contender, count)
    nginx = taken.get("nginx")
    mine = taken[ours.peer.title]
    rows = [Row(title, [value, value / nginx if nginx else None]) for title, value in taken.items()]
    text = f"{ours.peer.title} ≤ {_GOAL} × nginx"
    goals = [Goal(f"{text}, measured {mine / nginx:.2f} ×", mine <= _GOAL * nginx)] if nginx else []
    return Findings(["bytes per connection", "÷ nginx"], rows, goals, [f"{count:,} connections"])


def _bytes_per_connection(rig: Rig, contender: Contender, count: int) -> float:
    with proxy_running(rig, contender) as proxy, ExitStack() as stack:
        for _ in range(_FIRST):
            stack.enter_context(_asked_once(proxy.port))
        before = memory(proxy.pid)
        held = [stack.enter_context(_asked_once(proxy.port)) for _ in range(count)]
        after = memory(proxy.pid)
        if over := sum(map(_is_over, held)):
            raise Invalid(f"{contender.peer.title} closed {over} of {count} idle connections")
    return (after - before) / count


def _asked_once(port: int) -> socket.socket:
    """A connection over which one request has been answered."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(_REQUEST)
    got = b""
    while not got.endswith(b"x" * 56):
        more = client.recv(4096)
        if not more:
            raise Invalid(f"a connection was closed after {got!r}")
        got += more
    return client


def _is_over(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def memory(pid: int) -> int:
    """The proportional set size of a program and its descendants, in bytes."""
    return sum(_proportional(Path(f"/proc/{member}/smaps_rollup").read_text()) for member in family(pid))


def _proportional(rollup: str) -> int:
    """The line `Pss:` of smaps_rollup, which counts in KiB."""
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024


def _affordable(count: int) -> int:
    """As many connections as the limit of descriptors has room for, `count` at most; the limit is raised first.

    Serinus keeps a descriptor for an endpoint beside each client's, and some for itself.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # only a privileged program may raise the hard one
        hard = max(hard, 2 * count + _SPARE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(count, (hard - _SPARE) // 2)


IDLE = Figure(
    "idle",
    "memory of idle connections",
    # Without the relay: it holds a connection to an upstream for each.
    Work("idle", "", features=frozenset({"idle"}), against=OTHERS[1:]),
    measure_idle,
)
