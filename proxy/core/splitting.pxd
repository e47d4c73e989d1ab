from libc.stdint cimport int64_t, uint64_t

cdef struct Fork:
    int64_t share       # of the requests that come here, how much is due to the left; the rest is due to the right
    int64_t credit      # what the left is owed; the right is owed the opposite
    int64_t turn[2]     # the credit at which the next request is the turn of the left, of the right
    int way[2]          # where left and right lead: the number of a fork, or ~ of a version

cdef class Splitter:
    cdef readonly int count
    cdef int forks
    cdef Fork* fork
    cdef int root
    cdef uint64_t random
    cdef int _plant(self, int first, int end)
    cdef object _share_out(self, int way, list exact)
    cdef list _owed(self, int way, double debt)
    cdef int64_t _draw(self) noexcept
    cdef int _take_turn(self, Fork* at) noexcept
    cdef int choose(self) noexcept
