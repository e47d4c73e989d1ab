"""Clients: their connections, one request after the other.

Owns reading requests in order, persistence, half-close, and closing so that an answer is not lost. Must not know where
a request goes.

Rules:
1. One exchange at a time; what comes ahead of its turn is kept, and then nothing more is read: at most one read's worth,
   which is small where requests are read and not bodies.
2. A head has `head_timeout` as a whole, from its first byte; a connection that never sends one is closed without a word.
   The rest of a body that nobody wants has `body_timeout` as a whole.
3. After an answer of ours that ends the connection, the rest is read and dropped for a while: a close on unread bytes is a
   reset, and could take the answer with it (RFC 9112 section 9.6).
4. A client that ended its side still gets the answer to what it asked.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memchr, memcpy

from proxy.wire.fields cimport reset_head
from proxy.wire.request cimport TUNNEL
from proxy.wire.http1 cimport COMPLETE, MORE, scan_request
from proxy.wire.poller cimport EPOLLIN, EPOLLOUT, READ_SIZE, monotonic

from proxy.core.outcome import Reason

cdef int HEAD_TIMEOUT = int(Reason.HEAD_TIMEOUT)
cdef int CLIENT_CLOSED = int(Reason.CLIENT_CLOSED)
cdef int INTERNAL = int(Reason.INTERNAL)

cdef enum:
    SPARE_MOST = 1024       # exchanges kept for use
    AHEAD_MOST = 65536      # bytes of requests that one read takes: 16 heads of 4 KiB
    LINGER_NS = 2000000000
    LINGER_BYTES = 1048576


cdef class Client(Downstream):
    """One connection from a client."""

    def __repr__(self):
        return f"<Client {(self.peer or b'?').decode()} fd={self.fd} exchange={self.exchange!r}>"

    def __dealloc__(self):
        PyMem_RawFree(self.held)

    cdef int start(self, Plane plane, int fd) except -1:
        self.plane = plane
        plane.slab.block.accepted += 1
        if not plane.enter(self, fd):
            self._forget()
        return 0

    cdef bint is_idle(self) noexcept:
        """Between two requests, with nothing begun in either direction."""
        return self.exchange is None and self.served and self.held_size == 0 and self.pending_end == 0 \
            and not self.closing and self.discard == 0

    cdef void close(self) noexcept:
        if self.fd >= 0:
            Downstream.close(self)
            PyMem_RawFree(self.held)  # an exchange that waits to be used again may keep this object for long
            self.held = NULL
            self.held_size = 0
            self._forget()

    def _forget(self):
        self.plane.leave()
        left = self.plane.peers[self.peer] - 1
        if left:
            self.plane.peers[self.peer] = left
        else:
            del self.plane.peers[self.peer]

    # Reading

    cdef int ready(self, uint32_t events) except -1:
        cdef int answer
        if events & EPOLLOUT and self.pending_end:
            answer = self.flush()
            if answer < 0:
                return self.hung_up()
            if answer == 0:
                if self.exchange is not None:
                    self.exchange.client_drained()
                elif self.closing:
                    return self._end(self.lingering)
                else:
                    self._await_next(monotonic())
                    self._go_on()
        if self.fd >= 0 and events & ~EPOLLOUT and self.interest & EPOLLIN:
            self._read()
        return 0

    cdef int hung_up(self) except -1:
        """The connection is over in both directions, or broken."""
        if self.exchange is not None:
            return self.exchange.client_gone(CLIENT_CLOSED)
        self.close()
        return 0

    cdef int broken(self) except -1:
        """Not its failure but ours, and counted so."""
        return self.exchange.client_gone(INTERNAL) if self.exchange is not None else 0

    cdef int _read(self) except -1:
        cdef unsigned char* scratch = self.poller.scratch
        cdef size_t held = self.held_size
        cdef ssize_t n = self.read(scratch + held, READ_SIZE if self._sends_body() else AHEAD_MOST)
        if n == -2:
            return 0
        if self.lingering and n > 0:
            self.linger_left -= n
            if self.linger_left < 0:
                self.close()
            return 0
        if n < 0 or self.lingering and self.pending_end == 0:
            return self.hung_up()
        if n == 0:
            self.ended = True
            self.pause()
            if self.exchange is not None:
                return self.exchange.client_ended()
            self.closing = True
            if self.pending_end == 0:
                self.close()
            return 0
        if held:
            memcpy(scratch, self.held, held)
            # Without a line end there is nothing new to find, but for a CR that is none.
            if self.exchange is None and memchr(scratch + held, 10, n) == NULL and held + n < self.plane.limits.line \
                    and memchr(scratch + held - 1, 13, n + 1) == NULL:
                return self._hold(scratch, held + n)
            self.held_size = 0
        return self._take(scratch, held + n)

    cdef bint _sends_body(self) noexcept:
        """Does what comes belong to a body or a tunnel, as far as is known?"""
        if self.exchange is None:
            return self.discard != 0 or self.lingering
        return not self.exchange.request_done or self.exchange.stage == TUNNEL

    cdef int _take(self, unsigned char* p, size_t n) except -1:
        """Use n bytes at p: of a body, of a tunnel, of one request after the other."""
        cdef size_t used
        self.working = True
        try:
            while n and self.fd >= 0:
                if self.exchange is not None:
                    if self.exchange.request_done and self.exchange.stage != TUNNEL:
                        self.pause()
                        self._hold(p, n)
                        break
                    used = self.exchange.feed(p, n)
                    if used == 0 and self.exchange is not None:
                        self._hold(p, n)
                        break
                elif self.closing:
                    break
                elif self.discard:
                    used = n if n < self.discard else <size_t> self.discard
                    self.discard -= used
                    if self.discard == 0:
                        self._await_next(monotonic())
                elif self.pending_end:
                    self.pause()
                    self._hold(p, n)
                    break
                else:
                    used = self._head(p, n)
                    if used == 0:
                        break
                p += used
                n -= used
        finally:
            self.working = False
        return 0

    cdef size_t _head(self, unsigned char* p, size_t n) except? 0xffffffff:
        """Scan for a request and begin its exchange; the bytes used, 0 when more must come."""
        cdef int answer
        cdef int64_t now
        if p[0] == 13 and not self.skipped:
            if n == 1:
                self._hold(p, n)
                return 0
            if p[1] == 10:
                self.skipped = True
                return 2
        answer = scan_request(p, n, &self.plane.limits, &self.plane.head)
        now = monotonic()
        if answer == MORE:
            if self.served and not self.begun:
                self.deadline(now + self.plane.head_timeout)
            self.begun = True
            self._hold(p, n)
            return 0
        self.exchange = self._exchange()
        self.begun = False
        self.deadline(0)
        if answer != COMPLETE:
            self.exchange.refuse(self, answer, now)
            return n
        self.skipped = False
        return self.exchange.begin(self, p, n, now)

    cdef Exchange _exchange(self):
        if self.plane.spare:
            return <Exchange> self.plane.spare.pop()
        return Exchange(self.plane)

    cdef int _hold(self, const unsigned char* rest, size_t n) except -1:
        cdef unsigned char* kept = <unsigned char*> PyMem_RawRealloc(self.held, n)
        if kept == NULL:
            raise MemoryError
        self.held = kept
        memcpy(kept, rest, n)
        self.held_size = n
        return 0

    cdef int _take_held(self) except -1:
        """Use what was held, as if it had been read now."""
        cdef unsigned char* held = self.held
        cdef size_t n = self.held_size
        self.held = NULL
        self.held_size = 0
        try:
            if n:
                self._take(held, n)
        finally:
            PyMem_RawFree(held)
        return 0

    # Between exchanges

    cdef int switched(self) except -1:
        self.resume()
        return self._take_held()

    cdef int exchange_ended(self, bint keep, bint linger) except -1:
        cdef Exchange exchange = self.exchange
        self.exchange = None
        self.served = True
        if self.fd >= 0:
            if not keep or self.ended:
                self.closing = True
                self.lingering = linger or self.held_size
                self.linger_left = LINGER_BYTES
                self.await_reading(monotonic() + self.plane.write_timeout)
                if self.pending_end == 0:
                    self._end(self.lingering)
            else:
                self.discard = exchange.request_left if not exchange.request_done else 0
                self._await_next(monotonic())
                self.plane.crowded_until = 0  # this one could go
                if self.pending_end == 0 and not self.working:
                    self._go_on()
        if len(self.plane.spare) < SPARE_MOST:
            self.plane.spare.append(exchange)
        return 0

    cdef void _await_next(self, int64_t now) noexcept:
        """The client's turn: to take what is pending, to send the rest of a body that nobody wants, or to ask again."""
        if self.pending_end:
            self.await_reading(now + self.plane.write_timeout)
        else:
            self.deadline(now + (self.plane.body_timeout if self.discard else self.plane.keepalive_timeout))

    cdef int _go_on(self) except -1:
        """All is sent: the next request, which may be here already."""
        if not self.ended:
            self.resume()
        if self.held_size:
            return self._take_held()
        if self.ended:
            self.close()
        return 0

    cdef int _end(self, bint linger) except -1:
        """All is sent and nothing follows."""
        if self.ended or not linger:
            self.close()
            return 0
        self.end_sending()
        self.lingering = True
        self.held_size = 0
        self.deadline(monotonic() + LINGER_NS)
        self.resume()
        return 0

    cdef int expired(self, int64_t now) except -1:
        if self.pending_end:
            # The kernel tells of room when a third of its buffer is free: a slow reader may have made less, and that counts.
            self.ready(EPOLLOUT)
            if self.fd < 0 or self.pending_end == 0:
                return 0
        if self.exchange is not None:
            return self.exchange.client_expired(now)
        if self.pending_end:
            if self.reads(self.plane.write_least):
                self.await_reading(now + self.plane.write_timeout)
                return 0
            self.reset()  # it must not take what it got for a whole answer
            return 0
        if self.closing or self.held_size == 0:
            self.close()
            return 0
        self.held_size = 0
        self.begun = False
        self.exchange = self._exchange()
        reset_head(&self.plane.head)  # that of somebody else
        return self.exchange.refuse(self, HEAD_TIMEOUT, now)
