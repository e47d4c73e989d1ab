from libc.stdint cimport int64_t, uint32_t

from proxy.wire.listener cimport Listener
from proxy.wire.poller cimport Socket

cdef class IntroducedListener(Listener):
    cdef int64_t told                # ns; when a refusal was last logged
    cdef int refuse(self, bytes peer, object why) except -1

cdef class Newcomer(Socket):
    cdef IntroducedListener listener
    cdef bytes peer                  # the proxy that it comes from; empty: unknown
    cdef bytes held                  # a header that is not whole
    cdef int start(self, int fd) except -1
    cdef int _hand_over(self, said) except -1
    cdef int _refuse(self, object why) except -1
