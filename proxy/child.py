"""One worker process as the supervisor sees it: its program, its control channel, what it has confirmed.

Owns the process from start to end. Must not restart it (`proxy.crew`) and must not know what a message is about.

Rules:
1. A child is ready once, after it has confirmed everything it was greeted with; what it confirmed last is `confirmed`.
2. Whether it hangs is judged by CLOCK_MONOTONIC and counts from `forgiven` at the earliest: time in which the
   supervisor itself stood still is nobody's fault.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from proxy.control import Channel, Message, open_channel

ChildState = Literal["starting", "ready", "draining", "drained", "ended"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a child may take, in seconds."""

    start: float = 30.0  # a cold start on a busy machine takes some seconds
    ack: float = 5.0
    silence: float = 10.0  # heartbeats come ten times a second
    farewell: float = 2.0  # from the end of its channel to its own


class Child:
    """A running worker. `news` is called whenever it has spoken, with what it could not do, if anything."""

    def __init__(self, index: int, news: Callable[[Child, str], None]) -> None:
        self.index: Final = index
        self.state: ChildState = "starting"
        self.confirmed = 0
        self.refusals: dict[int, str] = {}
        self.killed_for = ""
        self.started_at: Final = time.monotonic()
        self._news = news
        self._ready_at = 0.0
        self._lost_at = 0.0
        self._sent: deque[tuple[int, float]] = deque()
        self._channel: Channel | None = None
        self._program: asyncio.subprocess.Process | None = None

    async def start(self, command: Sequence[str], listeners: Sequence[int], counters: int) -> None:
        """Start the program. It inherits its listening sockets and the counters. Raises OSError."""
        near, far = socket.socketpair()
        with far:
            try:
                self._program = await asyncio.create_subprocess_exec(
                    *command,
                    *("--control", str(far.fileno()), "--counters", str(counters), "--worker", str(self.index)),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(far.fileno(), counters, *listeners),
                    # Ctrl-C in a terminal is for the supervisor, which then tells the workers.
                    start_new_session=True,
                    env=_environment(os.environ),
                )
            except BaseException:
                near.close()
                raise
        self._channel = await open_channel(near, self._received, self._lost)

    @property
    def pid(self) -> int:
        """The process id; 0 before it was started."""
        return self._program.pid if self._program is not None else 0

    @property
    def is_ready(self) -> bool:
        """Whether it serves."""
        return self.state == "ready"

    @property
    def served_seconds(self) -> float:
        """How long it has been ready."""
        return time.monotonic() - self._ready_at if self._ready_at else 0.0

    def send(self, seq: int, frame: bytes) -> None:
        """Send an encoded message that has to be confirmed."""
        assert self._channel is not None
        self._sent.append((seq, time.monotonic()))
        self._channel.send_frame(frame)

    def say_drain(self, seq: int, seconds: float) -> None:
        """Tell it to take nothing new, finish and end."""
        assert self._channel is not None
        if self.state != "ended":
            self.state = "draining"
        self._channel.send(Message(seq, "drain", seconds))

    def kill(self, reason: str = "") -> None:
        """End it at once, because it did or did not do something. It counts as ended from here on."""
        self.killed_for = reason
        self.state = "ended"
        if self._program is not None and self._program.returncode is None:
            self._program.kill()

    async def wait(self) -> int:
        """Wait for its end; the exit status, or minus the signal."""
        assert self._program is not None
        status = await self._program.wait()
        self.state = "ended"
        if self._channel is not None:
            self._channel.close()
        return status

    def complaint(self, now: float, heartbeat: float, patience: Patience, forgiven: float) -> str:
        """Why this child has to be replaced; empty when it is well."""
        waited = [
            (self._lost_at, patience.farewell, "closed its control channel without ending"),
            (self.started_at if self.state == "starting" else 0.0, patience.start, "did not become ready"),
            (self._sent[0][1] if self._sent and self.is_ready else 0.0, patience.ack, "did not confirm a message"),
            (max(self._ready_at, heartbeat) if self.is_ready else 0.0, patience.silence, "gave no sign of life"),
        ]
        for since, limit, what in waited:
            if since and now - max(since, forgiven) > limit:
                return f"{what} for {now - since:.1f} s"
        return ""

    def _received(self, message: Message) -> None:
        if self.state == "ended":
            return
        match message.kind:
            case "ready":
                self.state = "ready"
                self._ready_at = time.monotonic()
            case "ack":
                while self._sent and self._sent[0][0] <= message.seq:
                    self._sent.popleft()
                self.confirmed = max(self.confirmed, message.seq)
                if message.payload is not None:
                    self.refusals[message.seq] = str(message.payload)
            case "drained":
                self.state = "drained"
        self._news(self, self.refusals.get(message.seq, ""))

    def _lost(self) -> None:
        self._lost_at = time.monotonic()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what systemd says to the supervisor alone."""
    return {
        name: value for name, value in environ.items() if not name.startswith("LISTEN_") and name != "NOTIFY_SOCKET"
    }
