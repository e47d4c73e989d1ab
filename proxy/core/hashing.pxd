from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

cdef extern from "proxy/core/hashing.h" nogil:
    uint64_t siphash "serinus_siphash"(const unsigned char* key, const unsigned char* text, size_t n)
    uint64_t mix "serinus_mix"(uint64_t x)
    double unit "serinus_unit"(uint64_t x)

cdef int rendezvous(uint64_t key, const uint64_t* names, const double* weights, int count) noexcept nogil
