"""A program that speaks the control protocol and serves nothing: for tests of the supervisor.

It writes each message that it gets to `FOLDER/heard`, a line with its number and what matters of it, and answers every
connection with its process id. The words in `FOLDER/moods` (all workers) and `FOLDER/moods-INDEX` change how it
behaves; they are read at each message:

    die        ends with status 3 before it is ready
    mute       does not confirm
    refuse-N   cannot serve generation N, unless it began with it
    stop       gives no sign of life any more
    busy       begins an attempt in slots 1 and 1 when it is ready
    stubborn   does not end when it is told to drain
    deaf       closes its control channel when it is ready
"""

import argparse
import json
import mmap
import os
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import Any

from proxy.control import Decoder, Message, encode
from proxy.core.snapshot import Service, Snapshot
from proxy.wire.counters import Slab

FOLDER = Path(os.environ["STUB_FOLDER"])
BEAT = 0.05


class Stub:
    """One worker, on blocking sockets and a selector."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.index: int = arguments.worker
        self.control = socket.socket(fileno=arguments.control)
        self.listening = [socket.socket(fileno=listener["fd"]) for listener in json.loads(arguments.listeners)]
        self.slab = Slab(arguments.counters, self.index)
        self.beat = Heartbeat(arguments.counters, self.index)
        self.decoder = Decoder()
        self.is_ready = False

    def run(self) -> int:
        """Serve until the supervisor is gone or says drain."""
        selector = selectors.DefaultSelector()
        selector.register(self.control, selectors.EVENT_READ, self.hear)
        for listening in self.listening:
            selector.register(listening, selectors.EVENT_READ, lambda listening=listening: greet_client(listening))
        while True:
            if "stop" not in self.moods():
                self.beat.give()
            for key, _ in selector.select(BEAT):
                status = key.data()
                if status is not None:
                    return int(status)

    def moods(self) -> set[str]:
        """How to behave now."""
        words = ""
        for name in ("moods", f"moods-{self.index}"):
            path = FOLDER / name
            words += " " + path.read_text() if path.exists() else ""
        return set(words.split())

    def hear(self) -> int | None:
        """Everything that the supervisor says; the exit status when that is the end."""
        received = self.control.recv(65536)
        if not received:
            return 0
        for message in self.decoder.feed(received):
            status = self.take(message)
            if status is not None:
                return status
        return None

    def take(self, message: Message) -> int | None:
        """One message."""
        moods = self.moods()
        note(f"{self.index} {message.kind} {essence(message.payload)}")
        if "die" in moods and not self.is_ready:
            return 3
        if message.kind == "drain":
            self.say(Message(0, "drained"))
            return None if "stubborn" in moods else 0
        if "mute" not in moods or not self.is_ready:
            refuses = self.is_ready and f"refuse-{essence(message.payload).split(' ')[0]}" in moods
            self.say(Message(message.seq, "ack", "cannot" if refuses else None))
        if message.kind == "snapshot" and not self.is_ready:
            self.begin(moods)
        return None

    def begin(self, moods: set[str]) -> None:
        """Be ready."""
        self.is_ready = True
        if "busy" in moods:
            self.slab.start_attempt(1, 1, time.monotonic_ns())
        self.say(Message(0, "ready"))
        if "deaf" in moods:
            self.control.shutdown(socket.SHUT_RDWR)
            time.sleep(3600)

    def say(self, message: Message) -> None:
        """To the supervisor."""
        self.control.sendall(encode(message))


class Heartbeat:
    """The second integer of a worker's slab."""

    def __init__(self, counters: int, index: int) -> None:
        workers = int(os.pread(counters, 128, 12).split(b":")[1])
        self.map = mmap.mmap(counters, 0)
        self.place = 4096 + index * ((len(self.map) - 4096) // workers) + 8

    def give(self) -> None:
        """One sign of life."""
        self.map[self.place : self.place + 8] = time.monotonic_ns().to_bytes(8, sys.byteorder)


def greet_client(listening: socket.socket) -> None:
    """Answer with the process id and close."""
    client, _ = listening.accept()
    with client:
        client.sendall(b"%d" % os.getpid())


def note(line: str) -> None:
    """Append a line; whole lines of several workers do not mix."""
    fd = os.open(FOLDER / "heard", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, line.encode() + b"\n")
    os.close(fd)


def essence(payload: Any) -> str:
    """What tests look at of a payload."""
    if isinstance(payload, Snapshot):
        return f"{payload.generation} {' '.join(map(service_essence, payload.services))}"
    if isinstance(payload, tuple):
        generation, services = payload
        return f"{generation} {' '.join(map(service_essence, services))}".strip()
    return str(payload) if isinstance(payload, int | float) else ""


def service_essence(service: Service) -> str:
    """shop:stable=99(up,down),canary=1(up)"""
    versions = (
        f"{version.name}={weight:g}({','.join('up' if one.is_usable else 'down' for one in version.endpoints)})"
        for version, weight in zip(service.versions, service.weights, strict=True)
    )
    return f"{service.name}:{','.join(versions)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option, kind in (("--control", int), ("--counters", int), ("--worker", int), ("--listeners", str)):
        parser.add_argument(option, type=kind, required=True)
    sys.exit(Stub(parser.parse_args()).run())
