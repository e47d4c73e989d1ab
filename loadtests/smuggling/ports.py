"""Ports for programs that are told theirs before they start.

Owns: choosing them. A port that the kernel gives out when asked for any is given to the next who asks as well, so
with many programs starting two of them would meet. These lie below that range: nobody gets one by chance.
"""

import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from loadtests.bench.faults import Missing

_LOWEST: Final = 10_000
_USUAL_RANGE: Final = 32_768  # where Linux begins to give ports out, unless told otherwise


def choose_ports(count: int) -> list[int]:
    """Different ports on 127.0.0.1 that nobody listens on, and that nobody will get by chance.

    Raises:
        Missing: there are not so many.
    """
    chosen: list[int] = []
    candidates = list(range(_LOWEST, _first_given_out()))
    random.shuffle(candidates)
    for port in candidates:
        if len(chosen) == count:
            break
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            chosen.append(port)
    if len(chosen) < count:
        raise Missing(f"{count} ports between {_LOWEST} and the range of net.ipv4.ip_local_port_range are not free")
    return chosen


def _first_given_out() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return _USUAL_RANGE
