"""Listening: one socket a worker, no port shared by accident, and an error that says what to do."""

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from config.address import InheritedSocket, ListenAddress, TcpAddress, UnixAddress
from proxy.inheritance import Inheritance, describe, passed_descriptors
from proxy.open_listener import OpenListener
from proxy.sockets import ListenError, close_listeners, open_listeners

Open = Callable[..., list[OpenListener]]


@pytest.fixture
def open_one() -> Iterator[Open]:
    """Opens one address; closes all that was opened."""
    opened: list[list[OpenListener]] = []

    def open_one(address: ListenAddress, workers: int = 2, **more) -> list[OpenListener]:
        opened.extend(open_listeners([address], workers, **more))
        return opened[-1]

    yield open_one
    close_listeners(opened)


def refusal(*addresses: ListenAddress, **more) -> list[str]:
    with pytest.raises(ListenError) as refused:
        open_listeners(addresses, 2, **more)
    return list(refused.value.problems)


def test_each_worker_has_a_socket_of_its_own_on_the_same_port(open_one: Open):
    (listener,) = open_one(TcpAddress("127.0.0.1", 0), workers=3)
    ports = {listening.getsockname()[1] for listening in listener.sockets}
    assert listener.name == f"127.0.0.1:{ports.pop()}"
    assert not ports
    assert len({listener.for_worker(index, 3) for index in range(3)}) == 3
    assert not any(listening.get_inheritable() or listening.getblocking() for listening in listener.sockets)


def test_every_socket_of_a_port_gets_connections(open_one: Open):
    (listener,) = open_one(TcpAddress("127.0.0.1", 0))
    clients = [socket.create_connection(listener.sockets[0].getsockname()) for _ in range(64)]
    accepted = [0, 0]
    for index, listening in enumerate(listener.sockets):
        try:
            while True:
                listening.accept()[0].close()
                accepted[index] += 1
        except BlockingIOError:
            pass
    for client in clients:
        client.close()
    assert sum(accepted) == 64
    assert all(accepted)


def test_a_port_that_is_taken_is_refused_although_it_could_be_shared(open_one: Open):
    (listener,) = open_one(TcpAddress("127.0.0.1", 0))
    address = TcpAddress("127.0.0.1", listener.sockets[0].getsockname()[1])
    (problem,) = refusal(address)
    assert problem == f"{address}: another process listens there already; `ss -ltnpx` says which one"


def test_everything_that_is_wrong_is_said_at_once_and_nothing_stays_open(tmp_path: Path):
    plain_file = tmp_path / "file"
    plain_file.touch()
    good = UnixAddress(str(tmp_path / "good.sock"))
    assert refusal(
        good,
        UnixAddress(str(plain_file)),
        UnixAddress(str(tmp_path / "no" / "a.sock")),
        TcpAddress("192.0.2.1", 80),
    ) == [
        f"unix:{plain_file}: there is a file that is no socket; remove it or choose another path",
        f"unix:{tmp_path}/no/a.sock: the folder of the socket does not exist; make it first",
        "192.0.2.1:80: this machine does not have that address",
    ]
    assert not os.path.exists(good.path)
    assert plain_file.exists()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_every_interface_of_ipv6_takes_ipv4_too_unless_that_is_listed(open_one: Open):
    (both,) = open_one(TcpAddress("::", 0))
    port = both.sockets[0].getsockname()[1]
    assert both.name == f"[::]:{port}"
    socket.create_connection(("127.0.0.1", port)).close()
    both.close()
    opened = open_listeners([TcpAddress("::", port), TcpAddress("0.0.0.0", port)], 2)
    names = [listener.name for listeners in opened for listener in listeners]
    close_listeners(opened)
    assert names == [f"[::]:{port}", f"0.0.0.0:{port}"]


def test_a_name_is_listened_on_at_all_its_addresses(open_one: Open, monkeypatch: pytest.MonkeyPatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    one, two = open_one(TcpAddress("some.name", 0))
    port = one.sockets[0].getsockname()[1]
    assert (one.name, two.name) == (f"127.0.0.1:{port}", f"127.0.0.2:{port}")


def test_a_name_that_leads_nowhere_is_said(monkeypatch: pytest.MonkeyPatch):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert refusal(TcpAddress("no.name", 80)) == ["no.name:80: the name cannot be resolved: Name or service not known"]


def test_a_stale_socket_file_is_replaced_and_ours_is_removed_at_the_end(open_one: Open, tmp_path: Path):
    path = str(tmp_path / "a.sock")
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(path)
    (listener,) = open_one(UnixAddress(path))
    assert listener.name == f"unix:{path}"
    assert listener.for_worker(0, 2) == listener.for_worker(1, 2) == listener.sockets
    assert refusal(UnixAddress(path)) == [
        f"unix:{path}: another process listens there already; `ss -ltnpx` says which one"
    ]
    listener.close()
    assert not os.path.exists(path)


def test_a_socket_file_of_someone_else_stays(open_one: Open, tmp_path: Path):
    path = str(tmp_path / "a.sock")
    (listener,) = open_one(UnixAddress(path))
    os.rename(path, tmp_path / "moved")
    with closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(path)
        listener.close()
        assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_an_inherited_socket_is_taken_over_and_shared(open_one: Open):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        fd = os.dup(server.fileno())
    os.set_inheritable(fd, True)
    (listener,) = open_one(InheritedSocket(fd), inheritance=Inheritance({fd: "http"}))
    assert listener.name == f"fd@{fd} (http, 127.0.0.1:{port})"
    assert [listening.fileno() for listening in listener.for_worker(1, 2)] == [fd]
    assert not os.get_inheritable(fd)
    socket.create_connection(("127.0.0.1", port)).close()
    listener.close()
    with pytest.raises(OSError) as closed:
        os.fstat(fd)
    assert closed.value.errno == errno.EBADF


def test_what_systemd_has_passed_is_found_by_where_it_listens(open_one: Open, tmp_path: Path):
    path = str(tmp_path / "a.sock")
    with closing(socket.create_server(("127.0.0.1", 0))) as tcp, closing(socket.socket(socket.AF_UNIX)) as unix:
        unix.bind(path)
        unix.listen()
        port = tcp.getsockname()[1]
        passed = {os.dup(tcp.fileno()): "web", os.dup(unix.fileno()): "local", os.open(os.devnull, os.O_RDONLY): "odd"}
    inheritance = Inheritance(dict(passed))
    (by_port,) = open_one(TcpAddress("127.0.0.1", port), inheritance=inheritance)
    (by_path,) = open_one(UnixAddress(path), inheritance=inheritance)
    assert (by_port.name, by_path.name) == (f"127.0.0.1:{port}", f"unix:{path}")
    first, second, odd = passed
    assert [each.sockets[0].fileno() for each in (by_port, by_path)] == [first, second]
    assert inheritance.unclaimed() == [f"fd@{odd} (odd)"]
    os.close(odd)
    by_path.close()
    assert os.path.exists(path)  # its file belongs to systemd


def passed_on(listener: OpenListener, address: ListenAddress) -> Inheritance:
    """What a next version inherits of a listener."""
    passed = describe(address, listener)
    return Inheritance(passed=[replace(passed, fds=tuple(map(os.dup, passed.fds)))])


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_next_version_takes_over_every_socket_however_many_workers_it_has(open_one: Open, workers: int):
    address = TcpAddress("127.0.0.1", 0)
    (old,) = open_one(address, workers=2)
    (new,) = open_one(address, workers=workers, inheritance=passed_on(old, address))
    assert new.name == old.name
    taken = [listening for index in range(workers) for listening in new.for_worker(index, workers)]
    assert len(taken) == len(set(taken)) == max(workers, 2)
    assert {listening.getsockname() for listening in taken} == {old.sockets[0].getsockname()}


def test_the_file_of_a_unix_socket_goes_with_whoever_has_it_last(open_one: Open, tmp_path: Path):
    path = str(tmp_path / "a.sock")
    address = UnixAddress(path)
    (old,) = open_one(address)
    failing = passed_on(old, address)
    (listener,) = open_one(address, inheritance=failing)
    listener.close()
    assert os.path.exists(path)  # the old one goes on
    inheritance = passed_on(old, address)
    (new,) = open_one(address, inheritance=inheritance)
    assert inheritance.own() == []
    old.socket_file = None
    old.close()
    assert os.path.exists(path)
    new.close()
    assert not os.path.exists(path)


def test_what_the_next_version_does_not_listen_on_is_closed_once_it_is_its_own(open_one: Open, tmp_path: Path):
    path = str(tmp_path / "a.sock")
    (old,) = open_one(UnixAddress(path))
    inheritance = passed_on(old, UnixAddress(path))
    assert inheritance.own() == [f"unix:{path}"]
    assert not os.path.exists(path)


def test_what_was_not_passed_or_does_not_listen_is_refused():
    assert refusal(InheritedSocket(60000), inheritance=Inheritance({3: "http", 4: "unknown"})) == [
        "fd@60000: no socket with this number was passed to the proxy; passed by systemd: fd@3 (http), fd@4 (unknown)"
    ]
    with closing(socket.socket()) as idle, open(os.devnull) as file:
        assert refusal(InheritedSocket(idle.fileno()), InheritedSocket(file.fileno())) == [
            f"fd@{idle.fileno()}: the socket that was passed does not listen for streams; "
            "a systemd unit needs ListenStream=",
            f"fd@{file.fileno()}: no socket with this number was passed to the proxy; passed by systemd: none",
        ]
        os.fstat(idle.fileno())


@pytest.mark.parametrize(
    ("environ", "passed"),
    [
        ({}, {}),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "7"}, {3: "unknown", 4: "unknown"}),
        ({"LISTEN_FDS": "3", "LISTEN_PID": "7", "LISTEN_FDNAMES": "http::tls"}, {3: "http", 4: "unknown", 5: "tls"}),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "8"}, {}),
        ({"LISTEN_FDS": "x", "LISTEN_PID": "7"}, {}),
    ],
)
def test_descriptors_passed_by_systemd(environ: dict[str, str], passed: dict[int, str]):
    assert passed_descriptors(environ, 7) == passed
