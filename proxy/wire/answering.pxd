from libc.stddef cimport size_t
from libc.stdint cimport int64_t

from proxy.wire.asking cimport Asking
from proxy.wire.poller cimport iovec

cdef class Answering(Asking):
    cdef int client_gone(self, int reason) except -1
    cdef int _heads(self, unsigned char* p, size_t n) except -1
    cdef int _interim(self, unsigned char* p) except -1
    cdef int _answer(self, unsigned char* p, size_t n, int64_t now) except -1
    cdef void _frame(self) noexcept
    cdef size_t _write_answer(self, unsigned char* p) except 0
    cdef int _relay(self, iovec* parts, int count, unsigned char* p, size_t n, int64_t now) except -1
    cdef int _relay_chunks(self, iovec* parts, int count, unsigned char* p, size_t n, int64_t now) except -1
    cdef int _relay_raw(self, iovec* parts, int count, unsigned char* p, size_t n, int64_t now) except -1
    cdef int _pass(self, iovec* parts, int count, bint last, bint clean, int64_t now) except -1
    cdef int _complete(self, bint clean, int64_t now) except -1
    cdef int _carry(self, unsigned char* p, size_t n, int64_t now) except -1
    cdef int _switch(self, unsigned char* p, size_t n, int64_t now) except -1
    cdef int _upstream_over(self, bint broken, int64_t now) except -1
