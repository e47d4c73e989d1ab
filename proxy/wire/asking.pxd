from libc.stdint cimport int64_t

from proxy.wire.http1 cimport Bytes
from proxy.wire.request cimport Downstream, Request

cdef class Asking(Request):
    cdef int refuse(self, Downstream client, int reason, int64_t now) except -1
    cdef int _choose(self, str forced, bint by_condition) except -1
    cdef int _count_unavailable(self, int64_t now) noexcept
    cdef int _claim(self, int64_t now) except -1
    cdef int _connect_afresh(self, int64_t now) except -1
    cdef int _await_connection(self, int answer, int64_t now) except -1
    cdef int _send(self, int64_t now) except -1
    cdef bint _is_over(self, int64_t now) noexcept
    cdef bint _may_retry(self, int outcome) except -1
    cdef bint _has_other_endpoint(self) except -1
    cdef int _end_attempt(self, int outcome, int64_t now) except -1
    cdef int fail(self, int reason, int outcome) except -1
    cdef int _answer_options(self) except -1
    cdef int _answer_redirect(self, Bytes p) except -1
    cdef str _id_text(self)
    cdef int _answer_alone(self, bytes text, int64_t now) except -1
    cdef int cut(self, int reason, int64_t now) except -1
    cdef void _write_down(self) noexcept
    cdef int finish(self, bint keep, bint linger, int64_t now) except -1
