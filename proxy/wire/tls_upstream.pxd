from libc.stdint cimport uint32_t

from proxy.wire.tls cimport Session
from proxy.wire.upstream cimport Upstream

cdef class TlsUpstream(Upstream):
    cdef Session session
    cdef bint greeted                # the connection is made and the handshake has begun
    cdef bint remembered             # the endpoint has its session
    cdef int _begin(self) except -1
    cdef int _shake(self, uint32_t events) except -1
    cdef int _step(self) except -1
    cdef int _fail(self, int error) except -1
