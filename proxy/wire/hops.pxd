from libc.stdint cimport int64_t

from proxy.wire.http1 cimport Bytes, Head

# What forwards_left answers where there is no number.
cdef enum:
    NO_LIMIT = -1
    NO_NUMBER = -2

cdef bint has_passed(Bytes p, const Head* head, bytes name) noexcept
cdef int64_t forwards_left(Bytes p, const Head* head) noexcept nogil
cdef bytes traced(Bytes p, const Head* head)
