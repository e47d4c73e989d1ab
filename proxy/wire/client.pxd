from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

from proxy.wire.downstream cimport Downstream
from proxy.wire.exchange cimport Exchange
from proxy.wire.plane cimport Plane
from proxy.wire.poller cimport Socket

cdef class Client(Downstream):
    cdef Plane plane
    cdef readonly Exchange exchange
    cdef unsigned char* held         # a head that is not whole, or what came ahead of its turn
    cdef size_t held_size
    cdef uint64_t discard            # of a request body that nobody wants
    cdef int64_t linger_left
    cdef bint working                # inside _take
    cdef bint skipped                # one empty line before a request was skipped
    cdef bint begun                  # a head has begun and its deadline is set
    cdef bint served                 # it has had an answer
    cdef bint ended                  # the client sends nothing more
    cdef bint closing                # closes once all is sent
    cdef bint lingering              # closed for sending: reads and drops what still comes
    cdef bint is_idle(self) noexcept
    cdef int start(self, Plane plane, int fd) except -1
    cdef int _read(self) except -1
    cdef bint _sends_body(self) noexcept
    cdef int _take(self, unsigned char* p, size_t n) except -1
    cdef size_t _head(self, unsigned char* p, size_t n) except? 0xffffffff
    cdef int _hold(self, const unsigned char* rest, size_t n) except -1
    cdef int _take_held(self) except -1
    cdef void _await_next(self, int64_t now) noexcept
    cdef int _go_on(self) except -1
    cdef int _end(self, bint linger) except -1
    cdef Exchange _exchange(self)
