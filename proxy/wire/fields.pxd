from libc.stddef cimport size_t

from proxy.wire.http1 cimport Bytes, Field, Head, Limits

cdef int check_authority(Bytes p, size_t n) noexcept nogil
cdef bint has_token(Bytes p, size_t n, const char* lower, size_t length) noexcept nogil
cdef bint connection_names(Bytes p, const Head* head, const Field* field) noexcept nogil
cdef int scan_fields(Bytes p, Bytes s, Bytes end, const Limits* limits, Head* head, bint request) noexcept nogil
cdef void reset_head(Head* head) noexcept nogil
cdef int within_limits(int answer, size_t n, const Limits* limits, const Head* head) noexcept nogil
cdef int scan_trailers(Bytes p, size_t n, const Limits* limits, Head* head) noexcept nogil
