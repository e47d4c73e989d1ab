"""What is said to systemd, or to whoever else has set NOTIFY_SOCKET (sd_notify(3)): ready, reloading, stopping, alive.

Owns the datagrams. Must not decide when they are sent. Without a NOTIFY_SOCKET nothing is, and nobody notices.

1. Nothing here raises, and nothing waits for longer than a moment: who does not listen holds up nothing.
2. Signs of life come twice as often as WATCHDOG_USEC asks for, from the event loop that they vouch for.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

PATIENCE: Final = 0.05  # seconds; few datagrams wait for whoever listens
#: What is for the process alone that it was set for, and not for one that it starts.
OF_ONE_PROCESS: Final = frozenset({"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"})


class ServiceNotes:
    """What one process says about itself."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        place = environ.get("NOTIFY_SOCKET", "")
        self._place = f"\0{place[1:]}" if place.startswith("@") else place
        period = environ.get("WATCHDOG_USEC", "")
        is_ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        #: Seconds between two signs of life; 0: nobody wants any.
        self.watchdog_seconds: Final = int(period) / 2e6 if is_ours and period.isdecimal() else 0.0

    def ready(self, status: str) -> None:
        """It serves, or serves again after a reload."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """It reads its file again; `ready` follows."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self, status: str) -> None:
        """It ends."""
        self._send("STOPPING=1", f"STATUS={_line(status)}")

    def status(self, status: str) -> None:
        """What a person sees."""
        self._send(f"STATUS={_line(status)}")

    def main_process(self, pid: int) -> None:
        """Another process is the service from now on."""
        self._send(f"MAINPID={pid}")

    async def stay_alive(self) -> None:
        """Give signs of life, for ever, if somebody wants them."""
        while self.watchdog_seconds:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds)

    def _send(self, *lines: str) -> None:
        if not self._place:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(PATIENCE)
            sender.sendto(os.fsencode("\n".join(lines)), self._place)


def _line(text: str) -> str:
    return " ".join(text.split())
