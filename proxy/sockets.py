"""The sockets that the proxy listens on: opened by the supervisor, inherited by the workers.

Owns opening, taking over and closing them, and the words when that cannot be. Must not accept a connection.

Rules:
1. A TCP listener is one SO_REUSEPORT socket for each worker. The supervisor keeps all of them open, so that connections
   wait in the queue of a dead worker's socket for the worker that replaces it: closing it would reset them, because
   net.ipv4.tcp_migrate_req is off on most machines.
2. A unix socket and an inherited descriptor is one socket, shared by all workers.
3. Who opens all listeners gets all of them, or one error that says everything that is wrong, and then none stays open.
4. A socket file is removed only where nobody answers, and at the end only if it is still ours.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from config.address import InheritedSocket, ListenAddress, TcpAddress, UnixAddress

#: Connections that wait for a busy or restarting worker; the kernel takes net.core.somaxconn (4096) if that is less.
BACKLOG: Final = 4096
_FIRST_PASSED: Final = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


class ListenError(Exception):
    """Addresses that cannot be listened on; `problems` has a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(slots=True)
class OpenListener:
    """One address that is listened on; `name` says where, as a client would."""

    name: str
    sockets: tuple[socket.socket, ...]  # one a worker, or one for all of them
    socket_file: tuple[str, int] | None = field(default=None)  # path and inode of a file of ours

    def for_worker(self, index: int) -> socket.socket:
        """The socket that a worker accepts from."""
        return self.sockets[index % len(self.sockets)]

    def close(self) -> None:
        """Close this process's copies; workers may go on accepting from theirs."""
        for listening in self.sockets:
            listening.close()
        if self.socket_file is not None:
            path, inode = self.socket_file
            with suppress(FileNotFoundError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
            self.socket_file = None


def open_listeners(
    addresses: Sequence[ListenAddress], workers: int, passed: Mapping[int, str] | None = None
) -> list[list[OpenListener]]:
    """The listeners of each address: several where it is a name with several IP addresses. `passed` has the names of
    inherited descriptors.

    Raises:
        ListenError: one or more cannot be opened; none is open then.
    """
    opened: list[list[OpenListener]] = []
    problems = []
    for address in addresses:
        try:
            opened.append(_open(address, workers, addresses, passed or {}))
        except OSError as exc:
            problems.append(f"{address}: {_sentence(address, exc, passed or {})}")
    if problems:
        close_listeners(opened)
        raise ListenError(problems)
    return opened


def close_listeners(opened: Sequence[Sequence[OpenListener]]) -> None:
    """Close every one of them."""
    for listeners in opened:
        for listener in listeners:
            listener.close()


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


def _open(
    address: ListenAddress, workers: int, all_addresses: Sequence[ListenAddress], passed: Mapping[int, str]
) -> list[OpenListener]:
    if isinstance(address, TcpAddress):
        is_alone = TcpAddress("0.0.0.0", address.port) not in all_addresses
        return _open_tcp(address, workers, takes_ipv4=address.host == "::" and is_alone)
    return [_open_unix(address) if isinstance(address, UnixAddress) else _take_over(address, passed)]


def _open_tcp(address: TcpAddress, workers: int, *, takes_ipv4: bool) -> list[OpenListener]:
    """One listener for each IP address of the host; they share the port, also where it is a free one."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[OpenListener] = []
    port = address.port
    try:
        for family, _, _, _, place in dict.fromkeys(found):
            listening = _reuseport_sockets(family, str(place[0]), port, workers, takes_ipv4=takes_ipv4)
            port = listening[0].getsockname()[1]
            listeners.append(OpenListener(str(TcpAddress(str(place[0]), port)), listening))
    except OSError:
        close_listeners([listeners])
        raise
    return listeners


def _reuseport_sockets(
    family: int, host: str, port: int, workers: int, *, takes_ipv4: bool
) -> tuple[socket.socket, ...]:
    if port:
        # SO_REUSEPORT would share the port with any other process of this user that sets it, and with a proxy that was
        # left running: clients would reach one or the other. Binding without it tells.
        _bound(family, host, port, reuseport=False, takes_ipv4=takes_ipv4).close()
    sockets: list[socket.socket] = []
    try:
        for _ in range(workers):
            sockets.append(_bound(family, host, port, reuseport=True, takes_ipv4=takes_ipv4))
            port = sockets[0].getsockname()[1]
        for listening in sockets:
            listening.listen(BACKLOG)
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    return tuple(sockets)


def _bound(family: int, host: str, port: int, *, reuseport: bool, takes_ipv4: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuseport:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not takes_ipv4)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _open_unix(address: UnixAddress) -> OpenListener:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(address.path).st_mode):
            raise OSError(errno.ENOTSOCK, "")
        if _answers(address.path):
            raise OSError(errno.EADDRINUSE, "")
        os.unlink(address.path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listening.bind(address.path)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return OpenListener(str(address), (listening,), (address.path, os.stat(address.path).st_ino))


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
        return client.connect_ex(path) != errno.ECONNREFUSED


def _take_over(address: InheritedSocket, passed: Mapping[int, str]) -> OpenListener:
    listening = socket.socket(fileno=address.fd)
    try:
        if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "")
        listening.setblocking(False)
        os.set_inheritable(address.fd, False)  # workers are given it by name
    except OSError:
        listening.detach()
        raise
    place = ", ".join(part for part in (passed.get(address.fd, ""), _place(listening)) if part)
    return OpenListener(f"{address} ({place})", (listening,))


def _place(listening: socket.socket) -> str:
    name = listening.getsockname()
    return str(TcpAddress(name[0], name[1])) if isinstance(name, tuple) else f"unix:{os.fsdecode(name)}"


def _sentence(address: ListenAddress, exc: OSError, passed: Mapping[int, str]) -> str:
    if isinstance(address, InheritedSocket):
        return _sentence_of_descriptor(address, exc, passed)
    if isinstance(exc, socket.gaierror):
        return f"the name cannot be resolved: {exc.strerror}"
    return _SENTENCES.get(exc.errno or 0, f"cannot listen there: {exc.strerror or exc}")


_SENTENCES: Final[Mapping[int, str]] = {
    errno.EADDRINUSE: "another process listens there already; `ss -ltnpx` says which one",
    errno.EACCES: "not allowed: take another user or a port from 1024, or let systemd pass the socket (fd@3)",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EAFNOSUPPORT: "this machine does not speak IPv6",
    errno.ENOTSOCK: "there is a file that is no socket; remove it or choose another path",
    errno.ENOENT: "the folder of the socket does not exist; make it first",
}


def _sentence_of_descriptor(address: InheritedSocket, exc: OSError, passed: Mapping[int, str]) -> str:
    listed = ", ".join(f"fd@{fd} ({name})" for fd, name in passed.items()) or "none"
    if exc.errno in {errno.EBADF, errno.ENOTSOCK}:
        return f"no socket with this number was passed to the proxy; passed by systemd: {listed}"
    return "the socket that was passed does not listen for streams; a systemd unit needs ListenStream="
