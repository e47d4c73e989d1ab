from libc.stdint cimport int64_t

from proxy.wire.tunnel cimport Tunnel

cdef class Exchange(Tunnel):
    cdef int client_ended(self) except -1
    cdef int client_expired(self, int64_t now) except -1
    cdef int client_drained(self) except -1
    cdef int drain(self, int64_t deadline, int64_t grace) except -1
