from libc.stdint cimport int64_t, uint64_t

cdef class Splitter:
    cdef readonly int count
    cdef int64_t* share
    cdef int64_t* credit
    cdef int64_t* turn               # of two versions: the credit at which the next request is a version's turn
    cdef bint pair                   # two versions have a weight
    cdef uint64_t random
    cdef void _count_pair(self) noexcept
    cdef double _deadline(self, int i) noexcept
    cdef int64_t _draw(self) noexcept
    cdef int choose(self) noexcept
