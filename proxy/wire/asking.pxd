from libc.stdint cimport int64_t

from proxy.core.routing cimport Rule
from proxy.wire.ending cimport Ending
from proxy.wire.http1 cimport Bytes, Head

cdef class Asking(Ending):
    cdef bint _is_misdirected(self, Bytes p) except -1
    cdef int _enter(self, Rule rule, const Head* head, Bytes p) except -1
    cdef int _choose(self, str forced, bint by_condition) except -1
    cdef int _count_unavailable(self, int64_t now) noexcept
    cdef int _claim(self, int64_t now) except -1
    cdef int _connect_afresh(self, int64_t now) except -1
    cdef int _await_connection(self, int answer, int64_t now) except -1
    cdef int _send(self, int64_t now) except -1
    cdef bint _is_over(self, int64_t now) noexcept
    cdef bint _may_retry(self, int outcome) except -1
    cdef bint _has_other_endpoint(self) except -1
    cdef int fail(self, int reason, int outcome) except -1
