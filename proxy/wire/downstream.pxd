from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

from proxy.wire.forward cimport Origin
from proxy.wire.poller cimport Socket

cdef class Downstream(Socket):
    cdef Origin origin
    cdef bytes peer
    cdef bytes redirect              # everything is sent to https, on the port that this says; None: it is served
    cdef object certificate          # the ServerContext of a client that chose one by name; None: nothing was chosen
    cdef bytes covered               # an authority that it is for
    cdef bytes identity              # lines that tell its certificate to endpoints; None: nobody is told
    cdef size_t unread               # what was pending when its time to read began
    cdef void await_reading(self, int64_t at) noexcept
    cdef bint reads(self, uint64_t least) noexcept
    cdef void pause(self) noexcept
    cdef void resume(self) noexcept
    cdef int exchange_ended(self, bint keep, bint linger) except -1
    cdef int switched(self) except -1
