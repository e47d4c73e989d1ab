"""How far a request may go: proxies that it has passed (Via), and how many more it may (Max-Forwards).

Owns reading these fields, and what a trace shows. Must not decide where a request goes, nor write it (forward.pyx).

Rules:
1. A name in Via is compared as a host is, in any case; comments are no names (RFC 9110 section 7.6.3).
2. Max-Forwards counts for OPTIONS and TRACE alone (RFC 9110 section 7.6.2), and only as one number.
"""

from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, int64_t, uint32_t

from proxy.wire.http1 cimport F_COOKIE, F_HOP, F_MAX_FORWARDS, F_VIA, Bytes, Field, Head, digits, is_digit, same_text


cdef size_t _end_of_comment(Bytes p, size_t i, size_t n) noexcept nogil:
    """Behind the comment that opens at i: comments nest, and a backslash takes the next byte as it is."""
    cdef int depth = 0
    while i < n:
        if p[i] == 92:
            i += 1
        elif p[i] == 40:
            depth += 1
        elif p[i] == 41:
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
    return n


cdef bint _names(Bytes p, size_t n, const char* name, size_t length) noexcept nogil:
    """Is `name` (lower case) the received-by of an element of this Via field?"""
    cdef size_t i = 0
    cdef size_t start
    cdef int word = 0       # of the element: the protocol, then the name
    while i < n:
        if p[i] == 44:
            word = 0
            i += 1
        elif p[i] == 32 or p[i] == 9:
            i += 1
        elif p[i] == 40:
            i = _end_of_comment(p, i, n)
        else:
            start = i
            while i < n and p[i] != 44 and p[i] != 32 and p[i] != 9 and p[i] != 40:
                i += 1
            word += 1
            if word == 2 and i - start == length and same_text(p + start, name, length):
                return True
    return False


cdef bint has_passed(Bytes p, const Head* head, bytes name) noexcept:
    """Has this message been at the proxy that calls itself so? The name is in lower case."""
    cdef const Field* field
    cdef uint32_t i
    for i in range(head.count):
        field = &head.fields[i]
        if field.id == F_VIA and _names(p + field.value, field.value_len, name, len(name)):
            return True
    return False


cdef int64_t forwards_left(Bytes p, const Head* head) noexcept nogil:
    """How often the request may be forwarded still; NO_LIMIT without the field, NO_NUMBER where it is not one number."""
    cdef const Field* field
    cdef int64_t left = NO_LIMIT
    cdef uint32_t i
    cdef uint32_t k
    for i in range(head.count):
        field = &head.fields[i]
        if field.id != F_MAX_FORWARDS:
            continue
        if left != NO_LIMIT or field.value_len == 0:
            return NO_NUMBER
        for k in range(field.value_len):
            if not is_digit(p[field.value + k]):
                return NO_NUMBER
        left = digits(p + field.value, field.value_len)
        if left < 0:
            left = INT64_MAX  # more than we can count is as much as we can
    return left


cdef bytes traced(Bytes p, const Head* head):
    """The head as it was received, without what could tell a secret (RFC 9110 section 9.3.8)."""
    cdef const Field* field
    cdef list parts = [p[:head.fields_at]]
    cdef uint32_t i
    for i in range(head.count):
        field = &head.fields[i]
        # Proxy-Authorization is one of those for one hop.
        if field.id != F_COOKIE and field.id != F_HOP and not (
                field.name_len == 13 and same_text(p + field.name, b"authorization", 13)):
            parts.append(p[field.name:field.next])
    parts.append(b"\r\n")
    return b"".join(parts)
