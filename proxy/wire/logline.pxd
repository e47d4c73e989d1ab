from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

from proxy.wire.exchange cimport Exchange
from proxy.wire.plane cimport Record

cdef class Lines(Record):
    cdef unsigned char* buffer
    cdef size_t size
    cdef size_t end
    cdef readonly object full        # called with bytes when the buffer is large
    cdef list fields                 # of (index into FIELDS, '"name":')
    cdef list reasons                # words by number
    cdef int64_t stamped             # the second that `stamp` shows
    cdef bytes stamp
    cdef int _reserve(self, size_t more) except -1
    cdef void _put(self, const void* text, size_t n) noexcept
    cdef void _number(self, uint64_t value) noexcept
    cdef void _milliseconds(self, int64_t ns) noexcept
    cdef void _quoted(self, const unsigned char* text, size_t n) noexcept
    cdef int _stamp(self, int64_t second, bint iso) except -1
    cdef int _field(self, int field, Exchange exchange) except -1

cdef class JsonLines(Lines):
    cdef int _text(self, bytes text) except -1
    cdef int _part(self, Exchange exchange, int at, size_t skip=*) except -1
    cdef int _traced(self, Exchange exchange) except -1
