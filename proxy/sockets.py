"""The sockets that the proxy listens on: opened by the supervisor, inherited by the workers.

Owns opening, taking over and closing them, and the words when that cannot be. Must not accept a connection.

Rules:
1. A TCP listener is one SO_REUSEPORT socket for each worker. The supervisor keeps all of them open, so that connections
   wait in the queue of a dead worker's socket for the worker that replaces it: closing it would reset them, because
   net.ipv4.tcp_migrate_req is off on most machines.
2. A unix socket, and one that systemd has passed, is shared by all workers. What the proxy before this one had open is
   taken over as it is.
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
from typing import Final

from config.address import InheritedSocket, ListenAddress, TcpAddress, UnixAddress
from proxy.inheritance import Inheritance
from proxy.open_listener import OpenListener

#: Connections that wait for a busy or restarting worker; the kernel takes net.core.somaxconn (4096) if that is less.
BACKLOG: Final = 4096


class ListenError(Exception):
    """Addresses that cannot be listened on; `problems` has a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def open_listeners(
    addresses: Sequence[ListenAddress], workers: int, inheritance: Inheritance | None = None
) -> list[list[OpenListener]]:
    """The listeners of each address: several where it is a name with several IP addresses. What was there before is
    claimed from the inheritance.

    Raises:
        ListenError: one or more cannot be opened; none is open then.
    """
    inheritance = inheritance or Inheritance()
    descriptors = dict(inheritance.descriptors)
    opened: list[list[OpenListener]] = []
    problems = []
    for address in addresses:
        try:
            opened.append(_open(address, workers, addresses, inheritance))
        except OSError as exc:
            problems.append(f"{address}: {_sentence(address, exc, descriptors)}")
    if problems:
        close_listeners(opened)
        raise ListenError(problems)
    return opened


def close_listeners(opened: Sequence[Sequence[OpenListener]]) -> None:
    """Close every one of them."""
    for listeners in opened:
        for listener in listeners:
            listener.close()


def _open(
    address: ListenAddress, workers: int, all_addresses: Sequence[ListenAddress], inheritance: Inheritance
) -> list[OpenListener]:
    if inherited := inheritance.claim(address):
        for listener in inherited:
            _extend(listener, workers)
        return inherited
    if isinstance(address, TcpAddress):
        is_alone = TcpAddress("0.0.0.0", address.port) not in all_addresses
        return _open_tcp(address, workers, inheritance, takes_ipv4=address.host == "::" and is_alone)
    if isinstance(address, InheritedSocket):
        return [inheritance.claim_descriptor(address)]
    if (listening := inheritance.claim_place(address.path)) is not None:
        return [OpenListener(str(address), (listening,))]
    return [_open_unix(address)]


def _extend(listener: OpenListener, workers: int) -> None:
    """Give more workers than there were a socket each, where the port can be shared."""
    first = listener.sockets[0]
    missing = workers - len(listener.sockets)
    if first.family == socket.AF_UNIX or missing <= 0 or not first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
        return
    takes_ipv4 = first.family == socket.AF_INET6 and not first.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    host, port = first.getsockname()[:2]
    listener.sockets += _sharing(first.family, host, port, missing, takes_ipv4=takes_ipv4)


def _open_tcp(address: TcpAddress, workers: int, inheritance: Inheritance, *, takes_ipv4: bool) -> list[OpenListener]:
    """One listener for each IP address of the host; they share the port, also where it is a free one."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[OpenListener] = []
    port = address.port
    try:
        for family, _, _, _, place in dict.fromkeys(found):
            host = str(place[0])
            passed = inheritance.claim_place((host, port)) if port else None
            listening = (passed,) if passed else _own_sockets(family, host, port, workers, takes_ipv4=takes_ipv4)
            port = listening[0].getsockname()[1]
            listeners.append(OpenListener(str(TcpAddress(host, port)), listening))
    except OSError:
        close_listeners([listeners])
        raise
    return listeners


def _own_sockets(family: int, host: str, port: int, workers: int, *, takes_ipv4: bool) -> tuple[socket.socket, ...]:
    if port:
        # SO_REUSEPORT would share the port with any other process of this user that sets it, and with a proxy that was
        # left running: clients would reach one or the other. Binding without it tells.
        _bound(family, host, port, reuseport=False, takes_ipv4=takes_ipv4).close()
    return _sharing(family, host, port, workers, takes_ipv4=takes_ipv4)


def _sharing(family: int, host: str, port: int, count: int, *, takes_ipv4: bool) -> tuple[socket.socket, ...]:
    """So many sockets that share a port, each with a queue of its own."""
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
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


def _sentence(address: ListenAddress, exc: OSError, descriptors: Mapping[int, str]) -> str:
    if isinstance(address, InheritedSocket):
        return _sentence_of_descriptor(address, exc, descriptors)
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


def _sentence_of_descriptor(address: InheritedSocket, exc: OSError, descriptors: Mapping[int, str]) -> str:
    listed = ", ".join(f"fd@{fd} ({name})" for fd, name in descriptors.items()) or "none"
    if exc.errno in {errno.EBADF, errno.ENOTSOCK}:
        return f"no socket with this number was passed to the proxy; passed by systemd: {listed}"
    return "the socket that was passed does not listen for streams; a systemd unit needs ListenStream="
