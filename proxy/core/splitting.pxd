from libc.stdint cimport int64_t

cdef class Splitter:
    cdef readonly int count
    cdef int64_t* share
    cdef int64_t* credit
    cdef int choose(self) noexcept
