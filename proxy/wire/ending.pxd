from libc.stdint cimport int64_t

from proxy.wire.http1 cimport Bytes
from proxy.wire.downstream cimport Downstream
from proxy.wire.request cimport Request

cdef class Ending(Request):
    cdef int refuse(self, Downstream client, int reason, int64_t now) except -1
    cdef int _end_attempt(self, int outcome, int64_t now) except -1
    cdef int _answer_options(self) except -1
    cdef int _answer_trace(self, Bytes p) except -1
    cdef int _answer_redirect(self, Bytes p) except -1
    cdef str _id_text(self)
    cdef int _answer_alone(self, bytes text, int64_t now) except -1
    cdef int cut(self, int reason, int64_t now) except -1
    cdef void _write_down(self) noexcept
    cdef int finish(self, bint keep, bint linger, int64_t now) except -1

cdef bytes without_port(bytes authority)
