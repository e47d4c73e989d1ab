from libc.stdint cimport int64_t

from proxy.wire.answering cimport Answering

cdef class Exchange(Answering):
    cdef int client_ended(self) except -1
    cdef int client_expired(self, int64_t now) except -1
    cdef int client_drained(self) except -1
    cdef int drain(self, int64_t deadline) except -1
    cdef int _tunnel_ended(self, int64_t now) except -1
