"""Ending things in an orderly way: a worker that stops, and endpoints that take nothing new.

Rules:
1. A worker that drains answers everything that it has begun or is asked on open connections, each with `Connection: close`.
2. Idle connections may be in the middle of asking: they are closed only after a while, not at once.
3. Long answers and tunnels of a draining endpoint get a deadline, spread so that not all clients come back in one moment.
   The tunnels of a worker that drains get theirs so early that they can end in order: see tunnel.pyx.
"""

from os import urandom

from libc.stdint cimport int64_t

from proxy.wire.client cimport Client
from proxy.wire.exchange cimport Exchange
from proxy.wire.newcomer cimport Newcomer
from proxy.wire.plane cimport Plane
from proxy.wire.request cimport TUNNEL
from proxy.wire.upstream cimport Endpoint

from proxy.core.outcome import Reason

cdef int DRAINING = int(Reason.DRAINING)

cdef enum:
    GRACE_NS = 1000000000       # for each of the two steps in which a tunnel ends


cdef list _clients(Plane plane):
    cdef int fd
    return [plane.poller.sockets[fd] for fd in range(plane.poller.top) if isinstance(plane.poller.sockets[fd], Client)]


cdef int _close_newcomers(Plane plane) except -1:
    """Those that have not even said who they are."""
    cdef Newcomer newcomer
    cdef int fd
    for fd in range(plane.poller.top):
        if isinstance(plane.poller.sockets[fd], Newcomer):
            newcomer = plane.poller.sockets[fd]  # held: the poller forgets it
            newcomer.close()
    return 0


cdef int64_t _part(int64_t span):
    """A random part of this time."""
    return int.from_bytes(urandom(4), "little") * span // (1 << 32)


def begin(Plane plane, int64_t now, int64_t span) -> None:
    """From now on every answer ends its connection; all is over when `span` (ns) has passed."""
    cdef Client client
    cdef int64_t grace = min(<int64_t> GRACE_NS, span // 8)
    cdef int64_t jitter
    plane.draining = True
    for client in _clients(plane):
        if client.exchange is not None and client.exchange.stage == TUNNEL:
            jitter = min(<int64_t> (client.exchange.service.spec.drain_jitter * 1e9), span // 2)
            client.exchange.drain(now + span - 2 * grace - jitter + _part(jitter), grace)


def close_idle(Plane plane) -> int:
    """Close the connections that ask nothing; how many are left."""
    cdef Client client
    cdef int left = 0
    _close_newcomers(plane)
    for client in _clients(plane):
        if client.exchange is None and client.held_size == 0 and client.pending_end == 0 and not client.lingering:
            client.close()
        else:
            left += 1
    return left


def connections(Plane plane) -> int:
    return plane.clients


def reset_all(Plane plane) -> None:
    """The time is over: end what is left, counted as ended by the proxy."""
    cdef Client client
    for client in _clients(plane):
        if client.exchange is not None:
            client.exchange.client_gone(DRAINING)
        else:
            client.close()


def drain_endpoints(Plane plane, slots, int64_t deadline, int64_t jitter) -> None:
    """Give the long exchanges on these endpoints until `deadline` (ns), plus up to `jitter` each."""
    cdef Client client
    cdef Exchange exchange
    cdef Endpoint endpoint
    for client in _clients(plane):
        exchange = client.exchange
        if exchange is not None and exchange.endpoint is not None:
            endpoint = exchange.endpoint
            if endpoint.slot in slots:
                exchange.drain(deadline + _part(jitter), GRACE_NS)
