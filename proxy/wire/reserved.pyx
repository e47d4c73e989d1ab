"""Fields that a client may not send: those that say something in our name, and those that count from trusted proxies only.

Owns finding them in a scanned head. Which names those are is said by the settings (plane.pyx).

A dropped field is marked as one that is not forwarded, before any route looks at it. A name that only reads like a reserved
one, with '_' for '-', goes with it.
"""

from libc.stdint cimport uint32_t

from proxy.wire.http1 cimport F_TWIN, Bytes, Field, Head


cdef bint _reads_like(Bytes a, Bytes name, size_t n) noexcept nogil:
    """`name` is in lower case."""
    cdef size_t i
    cdef unsigned char c
    for i in range(n):
        c = a[i]
        if 65 <= c <= 90:
            c |= 0x20
        elif c == 95:
            c = 45
        if c != (45 if name[i] == 95 else name[i]):
            return False
    return True


cdef int drop_reserved(Bytes p, Head* head, list names) except -1:
    """Mark what has one of these names (in lower case)."""
    cdef bytes name
    cdef Field* field
    cdef uint32_t i
    for i in range(head.count):
        field = &head.fields[i]
        for name in names:
            if field.name_len == len(name) and _reads_like(p + field.name, <Bytes> <const char*> name, field.name_len):
                field.id = <unsigned short> F_TWIN
                break
    return 0
