from libc.stdint cimport uint32_t

from proxy.wire.client cimport Client
from proxy.wire.tls cimport Session

cdef class TlsClient(Client):
    cdef Session session
    cdef bint cut_off                # closed in the middle of something: the end must not be said
    cdef int _shake(self, uint32_t events) except -1
    cdef int _learn(self) except -1
    cdef int _give_up(self) except -1
    cdef int _say_plainly(self, bytes answer) except -1

cdef Client secured(object context)
