"""Listening sockets that were there before this process: passed by systemd, or by the proxy that it takes over from.

Owns who gets them, and closing what nobody wanted. Must not open a socket (`proxy.sockets`).

Rules:
1. What the proxy before had open at an address is found by the address as the file has it; what systemd passed, by the
   number of the descriptor (`fd@3`) or by where it listens.
2. Each socket is given away once. What is left over at the end is closed: nobody would accept from it.
3. The file of a unix socket is not ours to remove before `own`: until then, the proxy before may go on with it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from config.address import InheritedSocket, ListenAddress, TcpAddress
from proxy.open_listener import OpenListener

_FIRST_PASSED: Final = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


@dataclass(frozen=True, slots=True)
class Passed:
    """An open listener as one process describes it to the next: the address in the file, and descriptors."""

    address: str
    name: str
    fds: tuple[int, ...]
    socket_file: tuple[str, int] | None = None


@dataclass(slots=True)
class Inheritance:
    """What was there: `descriptors` of systemd with their names, `passed` by the proxy before."""

    descriptors: dict[int, str] = field(default_factory=dict)
    passed: list[Passed] = field(default_factory=list)
    _files: list[tuple[OpenListener, tuple[str, int]]] = field(default_factory=list)

    def claim(self, address: ListenAddress) -> list[OpenListener]:
        """The listeners that the proxy before had at an address; empty when it had none."""
        found = [each for each in self.passed if each.address == str(address)]
        if not isinstance(address, TcpAddress) or not address.is_name:
            found = found[:1]  # only a name has several IP addresses
        self.passed = [each for each in self.passed if each not in found]
        return [self._taken(each) for each in found]

    def claim_descriptor(self, address: InheritedSocket) -> OpenListener:
        """The socket with a number. Raises OSError: EBADF or ENOTSOCK there is none, EINVAL it does not listen."""
        listening = take_descriptor(address.fd)
        place = ", ".join(part for part in (self.descriptors.pop(address.fd, ""), place_of(listening)) if part)
        return OpenListener(f"{address} ({place})", (listening,))

    def claim_place(self, place: object) -> socket.socket | None:
        """The socket that systemd has passed for a place, as `getsockname` has it."""
        for fd in self.descriptors:
            if _listens_at(fd, place):
                del self.descriptors[fd]
                return take_descriptor(fd)
        return None

    def own(self) -> list[str]:
        """Everything is ours now, as the proxy before is leaving; where it listened and we do not."""
        left = [self._taken(each) for each in self.passed]
        self.passed = []
        for listener, socket_file in self._files:
            listener.socket_file = socket_file
        for listener in left:
            listener.close()
        return [listener.name for listener in left]

    def unclaimed(self) -> list[str]:
        """What systemd has passed, and nobody has claimed."""
        return [f"fd@{fd} ({name})" for fd, name in self.descriptors.items()]

    def _taken(self, passed: Passed) -> OpenListener:
        listener = OpenListener(passed.name, tuple(map(take_descriptor, passed.fds)))
        if passed.socket_file is not None:
            self._files.append((listener, passed.socket_file))
        return listener


def passed_descriptors(environ: Mapping[str, str], pid: int) -> dict[int, str]:
    """The descriptors that systemd passed to this process, with their names (sd_listen_fds(3))."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not count.isdecimal():
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    return {
        _FIRST_PASSED + index: names[index] if index < len(names) and names[index] else "unknown"
        for index in range(int(count))
    }


def describe(address: ListenAddress, listener: OpenListener) -> Passed:
    """An open listener, for the process that takes over."""
    fds = tuple(listening.fileno() for listening in listener.sockets)
    return Passed(str(address), listener.name, fds, listener.socket_file)


def take_descriptor(fd: int) -> socket.socket:
    """The listening socket of a descriptor. Raises OSError: EBADF or ENOTSOCK there is none, EINVAL it is another."""
    listening = socket.socket(fileno=fd)
    try:
        if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "")
        listening.setblocking(False)
        os.set_inheritable(fd, False)  # workers are given it by name
    except OSError:
        listening.detach()
        raise
    return listening


def place_of(listening: socket.socket) -> str:
    """Where a socket listens, as a person writes it."""
    name = listening.getsockname()
    return str(TcpAddress(name[0], name[1])) if isinstance(name, tuple) else f"unix:{os.fsdecode(name)}"


def _listens_at(fd: int, place: object) -> bool:
    try:
        found = socket.socket(fileno=fd)
    except OSError:
        return False
    try:
        name = found.getsockname()
        return (name[:2] if isinstance(name, tuple) else name) == place
    finally:
        found.detach()
