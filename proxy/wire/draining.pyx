"""Ending things in an orderly way: a worker that stops, and endpoints that take nothing new.

Rules:
1. A worker that drains answers everything that it has begun or is asked on open connections, each with `Connection: close`.
2. Idle connections may be in the middle of asking: they are closed only after a while, not at once.
3. Long answers and tunnels of a draining endpoint get a deadline, spread so that not all clients come back in one moment.
   The tunnels of a worker that drains get theirs so early that they can end in order: see tunnel.pyx.
4. What becomes long only after the drain has begun has the same deadline: it is looked for again and again (`follow`).
"""

from os import urandom

from libc.stdint cimport int64_t

from proxy.wire.client cimport Client
from proxy.wire.exchange cimport Exchange
from proxy.wire.newcomer cimport Newcomer
from proxy.wire.plane cimport Plane
from proxy.wire.request cimport ANSWERING, TUNNEL
from proxy.wire.tunnel cimport GRACE_NS
from proxy.wire.upstream cimport Endpoint

from proxy.core.outcome import Reason

cdef int DRAINING = int(Reason.DRAINING)


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
    plane.draining = True
    plane.drained_at = now + span
    for client in _clients(plane):
        if client.exchange is not None and client.exchange.stage == TUNNEL:
            _end_tunnel(plane, client.exchange, now)


cdef int _end_tunnel(Plane plane, Exchange exchange, int64_t now) except -1:
    """Give it a deadline from which on it can end in order before all is over: two steps, and some time to spare."""
    cdef int64_t span = max(<int64_t> 0, plane.drained_at - now)
    cdef int64_t grace = min(<int64_t> GRACE_NS, span // 8)
    cdef int64_t jitter = min(<int64_t> (exchange.service.spec.drain_jitter * 1e9), span // 2)
    return exchange.drain(now + span - 3 * grace - jitter + _part(jitter), grace)


cdef int _end_with_endpoint(Exchange exchange, int64_t deadline, int64_t jitter) except -1:
    return exchange.drain(deadline + _part(jitter), GRACE_NS)


def follow(Plane plane, int64_t now) -> None:
    """Give deadlines to the tunnels and long answers that have begun since."""
    cdef Client client
    cdef Exchange exchange
    cdef Endpoint endpoint
    if plane.leaving:
        plane.leaving = [endpoint for endpoint in plane.leaving if endpoint.leaves_at and endpoint.in_flight]
    if not plane.leaving and not plane.draining:
        return
    for client in _clients(plane):
        exchange = client.exchange
        if exchange is None or exchange.stage < ANSWERING or exchange.drains:
            continue
        if plane.draining and exchange.stage == TUNNEL:
            _end_tunnel(plane, exchange, now)
        elif exchange.endpoint is not None and exchange.endpoint.leaves_at:
            _end_with_endpoint(exchange, exchange.endpoint.leaves_at, exchange.endpoint.leave_jitter)


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
        if exchange is not None and exchange.endpoint is not None and exchange.endpoint.slot in slots:
            _end_with_endpoint(exchange, deadline, jitter)
    for slot in slots:
        endpoint = plane.endpoints[slot]
        if endpoint.leaves_at == 0:
            endpoint.leaves_at = deadline
            endpoint.leave_jitter = jitter
        if endpoint.in_flight and endpoint not in plane.leaving:
            plane.leaving.append(endpoint)
