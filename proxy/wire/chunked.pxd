from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

# A chunked body being read (RFC 9112 section 7.1).
cdef struct Chunked:
    uint64_t left            # data bytes of the current chunk still to come
    uint32_t extensions      # bytes of chunk extensions so far
    uint8_t state

cdef void chunked_start(Chunked* body) noexcept nogil
cdef int chunked_feed(Chunked* body, unsigned char* p, size_t n, size_t* consumed, unsigned char** out,
                      size_t* produced) noexcept nogil
