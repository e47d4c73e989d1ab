from libc.stdint cimport int64_t

from proxy.wire.answering cimport Answering

cdef enum:
    GRACE_NS = 1000000000       # for each of the two steps in which a tunnel ends

cdef class Tunnel(Answering):
    cdef int _leave(self, int64_t now) except -1
    cdef void _await_step(self, int64_t now) noexcept
    cdef int _tunnel_ended(self, int64_t now) except -1
