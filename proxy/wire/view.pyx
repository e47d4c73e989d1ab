"""Looking things up in a request head that was scanned: fields, cookies and parts of the query, for routes and keys.

Owns what of a head is there to be found. Must not change a head, or decide by it.

Rules:
1. What a stranger says under our own names is not found, nor anything that is not forwarded for its name.
2. Of several fields or cookies of one name, the first counts.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from libc.string cimport memchr, memcmp

from proxy.wire.http1 cimport F_COOKIE, F_OWN, F_TWIN, F_VERSION, Bytes, Field, Head, hex_value, same_text


cdef class HeadView(RequestView):
    """The request that was scanned last, for routes and keys. Valid only while its bytes are.

    What a stranger says under our own names is not there, and nothing that is dropped.
    """

    cdef bytes header(self, bytes name):
        cdef uint32_t i
        cdef const Field* field
        cdef size_t n = len(name)
        for i in range(self.head.count):
            field = &self.head.fields[i]
            if field.name_len == n and same_text(self.p + field.name, name, n):
                if field.id == F_TWIN or not self.trusted and (field.id == F_OWN or field.id == F_VERSION):
                    return None
                return self.p[field.value:field.value + field.value_len]
        return None

    cdef bytes cookie(self, bytes name):
        cdef int i
        cdef const Field* field
        cdef Bytes value
        cdef size_t n
        if self.head.cookie_at < 0:
            return None
        for i in range(self.head.cookie_at, <int> self.head.count):
            field = &self.head.fields[i]
            if field.id == F_COOKIE:
                n = field.value_len
                value = _cookie_value(self.p + field.value, &n, name, len(name))
                if value != NULL:
                    return value[:n]
        return None

    cdef bytes query(self, bytes name):
        cdef bytes target = self.p[self.head.target:self.head.target + self.head.target_len]
        cdef bytes pair
        cdef int mark = target.find(b"?")
        if mark < 0:
            return None
        for pair in target[mark + 1:].split(b"&"):
            key, _, value = pair.partition(b"=")
            if _percent_decoded(key) == name:
                return _percent_decoded(value)
        return None


cdef Bytes _cookie_value(Bytes p, size_t* n, const char* name, size_t name_len) noexcept nogil:
    """The value of the first cookie of this name (RFC 6265 section 4.2.1) without its quotes, its length in `n`."""
    cdef Bytes end = p + n[0]
    cdef Bytes stop
    cdef Bytes last
    while p < end:
        stop = <Bytes> memchr(p, 59, end - p)
        if stop == NULL:
            stop = end
        while p < stop and (p[0] == 32 or p[0] == 9):
            p += 1
        if <size_t> (stop - p) > name_len and p[name_len] == 61 and memcmp(p, name, name_len) == 0:
            p += name_len + 1
            last = stop
            while last > p and ((last - 1)[0] == 32 or (last - 1)[0] == 9):
                last -= 1
            while last > p and (last - 1)[0] == 34:
                last -= 1
            while p < last and p[0] == 34:
                p += 1
            n[0] = last - p
            return p
        p = stop + 1
    return NULL


cdef bytes _percent_decoded(bytes text):
    cdef bytearray out
    cdef int i = 0
    cdef int n = len(text)
    if b"%" not in text and b"+" not in text:
        return text
    out = bytearray()
    while i < n:
        if text[i] == 37 and i + 2 < n and hex_value(text[i + 1]) >= 0 and hex_value(text[i + 2]) >= 0:
            out.append(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]))
            i += 3
        else:
            out.append(32 if text[i] == 43 else text[i])
            i += 1
    return bytes(out)
