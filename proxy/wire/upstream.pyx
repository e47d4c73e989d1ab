"""Endpoints: their connections, their load and what their answers showed of them.

Owns the pool of idle connections, the queue in front of a limited endpoint, and what is counted for passive ejection. Must
not choose among endpoints (version.pyx) nor know HTTP: whoever takes a connection (`Taker`) reads and writes it.

Rules:
1. Choosing an endpoint and counting the request in flight is one step: nothing runs in between.
2. An idle connection is watched: bytes or an end while idle remove it.
3. At most `limit` requests in flight an endpoint, at most `queue` waiting; both for this worker.
4. Ejection is this worker's own judgement of what it saw.

Units: nanoseconds of CLOCK_MONOTONIC.
"""

from collections import deque

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from proxy.wire.poller cimport (
    EPOLLIN, EPOLLOUT, READ_SIZE, connect_to, fill_address, monotonic, socket_error,
)

import logging
import socket as _socket

log = logging.getLogger(__name__)

cdef enum:
    TELL_NS = 10000000000

cdef dict FAMILIES = {"inet": _socket.AF_INET, "inet6": _socket.AF_INET6, "unix": _socket.AF_UNIX}


cdef class Taker:
    """Who uses an upstream connection. Everything here is a callback."""

    cdef int upstream_connected(self) except -1:
        return 0

    cdef int upstream_failed(self, int error) except -1:
        """Could not connect: an errno, or 0 for the deadline."""
        return 0

    cdef int upstream_readable(self) except -1:
        return 0

    cdef int upstream_drained(self) except -1:
        """All pending bytes are sent."""
        return 0

    cdef int upstream_expired(self, int64_t now) except -1:
        return 0

    cdef int upstream_broken(self) except -1:
        """A callback raised; the connection is closed after this."""
        return 0

    cdef int endpoint_free(self) except -1:
        """The wait in an endpoint's queue is over: it is this one's turn."""
        return 0


cdef class Upstream(Socket):
    """One connection to an endpoint."""

    def __repr__(self):
        return f"<Upstream {self.endpoint.address} {('connecting', 'busy', 'idle')[self.state]} fd={self.fd}>"

    def __dealloc__(self):
        PyMem_RawFree(self.held)

    cdef int ready(self, uint32_t events) except -1:
        cdef int error
        if self.state == BUSY:
            if events & EPOLLOUT and self.pending_end:
                error = self.flush()
                if error == 0:
                    self.taker.upstream_drained()
                elif error < 0:
                    # What the endpoint said before it stopped reading is still to be read.
                    self.pending_at = self.pending_end = 0
                    self.want(self.interest & ~EPOLLOUT | EPOLLIN)
            if self.fd >= 0 and self.taker is not None and events & ~EPOLLOUT:
                self.taker.upstream_readable()
        elif self.state == IDLE:
            self.endpoint.idle.remove(self)
            self.endpoint.discard(self)
        else:
            error = socket_error(self.fd)
            if error:
                return self.taker.upstream_failed(error)
            self.state = BUSY
            self.want(EPOLLIN)
            self.taker.upstream_connected()
        return 0

    cdef int hung_up(self) except -1:
        if self.state == BUSY:
            return Socket.hung_up(self)
        return self.ready(EPOLLIN)

    cdef int expired(self, int64_t now) except -1:
        if self.state == IDLE:
            self.endpoint.idle.remove(self)
            self.endpoint.discard(self)
            return 0
        if self.state == CONNECTING:
            return self.taker.upstream_failed(0)
        return self.taker.upstream_expired(now)

    cdef int broken(self) except -1:
        cdef Taker taker = self.taker
        if self.state == IDLE and self in self.endpoint.idle:
            self.endpoint.idle.remove(self)
        if taker is not None:
            taker.upstream_broken()
        return 0

    cdef ssize_t take(self) noexcept:
        """Read into the scratch buffer, after what is held there; the size of both, 0 at the end, -1 broken, -2 nothing."""
        cdef ssize_t n
        cdef size_t held = self.held_size
        n = self.read(self.poller.scratch + held, READ_SIZE)
        if n <= 0:
            return n
        if held:
            memcpy(self.poller.scratch, self.held, held)
            self.held_size = 0
        return n + held

    cdef int hold(self, const unsigned char* rest, size_t size) except -1:
        """Keep these bytes for the next `take`."""
        cdef unsigned char* kept
        if size:
            kept = <unsigned char*> PyMem_RawRealloc(self.held, size)
            if kept == NULL:
                raise MemoryError
            self.held = kept
            memcpy(kept, rest, size)
        elif self.held != NULL:
            PyMem_RawFree(self.held)
            self.held = NULL
        self.held_size = size
        return 0

    cdef void pause(self) noexcept:
        self.want(self.interest & ~EPOLLIN)

    cdef void resume(self) noexcept:
        self.want(self.interest | EPOLLIN)

    cdef void remember(self) noexcept:
        """It has served a request: what can make the next connection cheaper is kept."""


cdef class Endpoint:
    """One address of a version, for as long as it exists: snapshots come and go, its connections stay."""

    def __init__(self, Poller poller, Slab slab, spec):
        self.poller = poller
        self.slab = slab
        self.address = spec.address
        self.name = spec.address.encode()
        self.slot = spec.slot
        self.block = slab.endpoint(spec.slot)
        self.idle = []
        self.waiting = deque()
        self.apply(spec)

    def __dealloc__(self):
        PyMem_RawFree(self.addresses)
        PyMem_RawFree(self.lengths)

    def apply(self, spec) -> None:
        """Take the newest state, health and addresses."""
        if spec.sockets != self.sockets:
            self._resolve(spec.sockets)
        self.up = spec.state == "up" and self.address_count > 0
        self.healthy = spec.healthy
        self.warm_from = <int64_t> (spec.warm_from * 1e9)
        if spec.state != "drain":
            self.leaves_at = 0
        if not self.up:
            self.close_idle()

    def dismiss(self) -> None:
        """It takes nothing new: who waits here looks elsewhere."""
        while self.waiting:
            (<Taker> self.waiting.popleft()).endpoint_free()

    def _resolve(self, sockets):
        cdef int n = len(sockets)
        cdef int used = 0
        self.close_idle()  # they may lead to addresses that are not this endpoint's any more
        PyMem_RawFree(self.addresses)
        PyMem_RawFree(self.lengths)
        self.addresses = <sockaddr_storage*> PyMem_RawMalloc((n + 1) * sizeof(sockaddr_storage))
        self.lengths = <socklen_t*> PyMem_RawMalloc((n + 1) * sizeof(socklen_t))
        if self.addresses == NULL or self.lengths == NULL:
            raise MemoryError
        for family, host, port in sockets:
            self.lengths[used] = fill_address(&self.addresses[used], FAMILIES[family], host.encode(), port)
            if self.lengths[used]:
                used += 1
        self.address_count = used
        self.address_next = 0
        self.era += 1
        self.sockets = sockets

    def secure(self, context, str server_name, secured) -> None:
        """Speak TLS from now on, as this context says; None: do not. `secured(endpoint)` makes the connections."""
        if context is not self.context or server_name != self.server_name:
            self.close_idle()
            self.era += 1
            self.session = None
        self.context = context
        self.server_name = server_name
        self.secured = secured

    cdef int tell(self, object error) except -1:
        """Log why no TLS came about, now and then: the client hears no more than that it did not."""
        cdef int64_t now = monotonic()
        if self.told == 0 or now - self.told > <int64_t> TELL_NS:
            self.told = now
            log.warning("endpoint %s: no TLS connection: %s", self.address, error or "it ended the handshake")
        return 0

    def close_idle(self) -> None:
        while self.idle:
            self.discard(self.idle.pop())

    cdef int acquire(self, Taker taker) except -1000:
        """A connection for `taker`, left in `latest`: 1 an idle one, 0 one that connects, -errno when there is none."""
        cdef Upstream upstream
        if self.idle:
            upstream = <Upstream> self.idle.pop()
            upstream.state = BUSY
            upstream.quiet = False
            upstream.taker = taker
            upstream.deadline(0)
            self.latest = upstream
            return 1
        return self.connect(taker)

    cdef bint has_rested(self, int64_t now) noexcept:
        """Has the connection that `acquire` would give been idle for so long that its end may be on its way?"""
        cdef Py_ssize_t last = len(self.idle) - 1
        if self.policy.fresh_after == 0 or last < 0:
            return False
        return now - (<Upstream> self.idle[last]).idle_from >= self.policy.fresh_after

    cdef int connect(self, Taker taker) except -1000:
        """Begin a new connection; as `acquire`."""
        cdef Upstream upstream
        cdef int fd
        if self.address_count == 0:
            return -113  # EHOSTUNREACH
        self.address_next = (self.address_next + 1) % self.address_count
        fd = connect_to(&self.addresses[self.address_next], self.lengths[self.address_next])
        if fd < 0:
            return fd
        upstream = Upstream.__new__(Upstream) if self.context is None else <Upstream> self.secured(self)
        upstream.endpoint = self
        upstream.taker = taker
        upstream.state = CONNECTING
        upstream.era = self.era
        try:
            upstream.open(self.poller, fd, EPOLLOUT)
        except OSError as error:
            return -error.errno
        self.block.connects += 1
        self.block.connections += 1
        self.latest = upstream
        return 0

    cdef void put(self, Upstream upstream) noexcept:
        """Take back a connection that can serve another request."""
        cdef Policy policy = self.policy
        if not self.up or upstream.era != self.era or len(self.idle) >= policy.pool_idle:
            self.discard(upstream)
            return
        if self.context is not None:
            upstream.remember()
        upstream.taker = None
        upstream.state = IDLE
        upstream.quiet = True
        upstream.reused = True
        if policy.keepalive:
            upstream.idle_from = monotonic()
            upstream.deadline(upstream.idle_from + policy.keepalive)
        self.idle.append(upstream)

    cdef void discard(self, Upstream upstream) noexcept:
        if upstream.fd >= 0:
            upstream.close()
            self.block.connections -= 1
        upstream.taker = None

    cdef int left(self) except -1:
        """A request left: let the next one that waits have its turn."""
        cdef Taker taker
        self.in_flight -= 1
        if self.waiting:
            taker = self.waiting.popleft()
            taker.endpoint_free()
        return 0

    cdef void note(self, bint failed, int64_t now):
        """What an attempt showed, for passive ejection."""
        cdef Policy policy = self.policy
        self.recent += 1
        if not failed:
            self.failures = 0
            return
        self.failures += 1
        self.recent_failures += 1
        if self.ejected_until:
            return
        if (policy.eject_consecutive and self.failures >= policy.eject_consecutive) or (
                policy.eject_share > 0 and self.recent >= policy.eject_minimum
                and self.recent_failures >= policy.eject_share * self.recent):
            policy.eject(self, now)

    cdef void settle(self, int64_t now):
        """Let an ejected endpoint back when its time is over."""
        if self.ejected_until and now >= self.ejected_until:
            self.pardon()
            self.policy.refresh()

    cdef void pardon(self):
        """It is not ejected any more; whoever calls this makes the policies look again."""
        self.ejected_until = 0
        self.failures = 0
        self.block.ejected = 0


cdef class Policy:
    """How an endpoint's pool and its ejection are to be, and whom to tell."""

    cdef void refresh(self):
        """An endpoint became usable, or is no more."""

    cdef void eject(self, Endpoint endpoint, int64_t now):
        """An endpoint failed as often as it may."""
