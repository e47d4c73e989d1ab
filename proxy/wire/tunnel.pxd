from libc.stdint cimport int64_t

from proxy.wire.answering cimport Answering

cdef class Tunnel(Answering):
    cdef int _leave(self, int64_t now) except -1
    cdef int _tunnel_ended(self, int64_t now) except -1
