"""The client's side as an exchange sees it: when it is read, how long it may take to read, and what it is told.

Owns the state of a client's connection that an exchange needs, beside the bytes. Must not read or answer (client.pyx).

Rule: a client that does not take what is pending has its time again as often as it took enough in the time before.
"""

from libc.stdint cimport int64_t, uint64_t

from proxy.wire.poller cimport EPOLLIN, Socket


cdef class Downstream(Socket):
    """The client's side, as an exchange sees it."""

    cdef void pause(self) noexcept:
        self.want(self.interest & ~EPOLLIN)

    cdef void resume(self) noexcept:
        self.want(self.interest | EPOLLIN)

    cdef void await_reading(self, int64_t at) noexcept:
        """The client's turn to take what is pending, until then."""
        self.unread = self.pending_end - self.pending_at
        self.deadline(at)

    cdef bint reads(self, uint64_t least) noexcept:
        """The deadline has passed: has the client taken as much as this in its time?"""
        cdef size_t left = self.pending_end - self.pending_at
        return left < self.unread and self.unread - left >= least

    cdef int exchange_ended(self, bint keep, bint linger) except -1:
        """The exchange is over. `keep`: the connection may go on; `linger`: the client may still be sending."""
        return 0

    cdef int switched(self) except -1:
        """The exchange became a tunnel: what the client sent ahead goes into it."""
        return 0
