"""The chunked transfer coding, read strictly and in place (RFC 9112 section 7.1).

Owns what is accepted as a chunked body. Must not forward anything: chunk extensions are checked, counted and dropped.

Rules:
1. A chunk size is 1 to 15 hexadecimal digits and nothing else; no white space anywhere; CRLF only.
2. Extensions follow the grammar and are at most 1 KiB in one body (CVE-2023-39326 and its kind).
3. The answer does not depend on how the bytes were cut into reads; an unfinished line is at most that long.
"""

from libc.string cimport memmove, memset

from proxy.wire.http1 cimport COMPLETE, MORE, SERINUS_TOKEN, Bytes, hex_value, is_value, line_end

from proxy.core.outcome import Reason

cdef int BAD = int(Reason.BAD_REQUEST)
cdef int BAD_BODY = int(Reason.BAD_BODY)

cdef enum:
    EXTENSION_LIMIT = 1024


cdef enum:
    SIZE = 0        # before a chunk-size
    DATA = 1
    DATA_END = 2    # before the CRLF after the data
    TRAILERS = 3    # after the last chunk: the caller scans what follows with scan_trailers


cdef void chunked_start(Chunked* body) noexcept nogil:
    memset(body, 0, sizeof(Chunked))


cdef int _chunk_size(Chunked* body, Bytes p, Bytes end, Bytes* after) noexcept nogil:
    """Reads `chunk-size [ chunk-ext ] CRLF`; extensions are checked, counted and dropped."""
    cdef Bytes s = p
    cdef uint64_t size = 0
    cdef Bytes mark
    cdef bint quoted = False
    cdef bint valued = False    # the extension has its '='
    while s < end and hex_value(s[0]) >= 0:
        if s - p >= 15:
            return BAD_BODY
        size = (size << 4) | <uint64_t> hex_value(s[0])
        s += 1
    if s == end:
        return MORE
    if s == p:
        return BAD_BODY
    mark = s
    if s[0] == 59:
        # chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the white space that RFC 9112 calls bad
        while s < end and s[0] != 13:
            if s - mark > EXTENSION_LIMIT:
                return BAD_BODY
            if quoted:
                if s[0] == 34:
                    quoted = False
                elif s[0] == 92:
                    if s + 1 == end:
                        return MORE
                    s += 1
                if not is_value(s[0]):
                    return BAD_BODY
            elif s[0] == 34:
                if (s - 1)[0] != 61:
                    return BAD_BODY
                quoted = True
            elif s[0] == 59:
                if s > mark and ((s - 1)[0] == 59 or (s - 1)[0] == 61):
                    return BAD_BODY
                valued = False
            elif s[0] == 61:
                if valued or (s - 1)[0] == 59:
                    return BAD_BODY
                valued = True
            elif not SERINUS_TOKEN[s[0]] or (s - 1)[0] == 34:
                return BAD_BODY
            s += 1
        if s == end:
            return MORE
        if quoted or (s - 1)[0] == 59 or (s - 1)[0] == 61:
            return BAD_BODY
    if s[0] != 13:
        return BAD_BODY
    if s + 1 == end:
        return MORE
    if s[1] != 10:
        return BAD_BODY
    body.extensions += <uint32_t> (s - mark)
    if body.extensions > EXTENSION_LIMIT:
        return BAD_BODY
    body.left = size
    after[0] = s + 2
    return COMPLETE


cdef int chunked_feed(Chunked* body, unsigned char* p, size_t n, size_t* consumed, unsigned char** out,
                      size_t* produced) noexcept nogil:
    """Takes the data out of a chunked body, in place.

    Sets `consumed` (the rest must be given again, with more behind it), and `out` and `produced` (the data bytes, moved
    together). Answers MORE, COMPLETE (the last chunk was read; its trailers follow at `consumed`) or a Reason.
    """
    cdef unsigned char* s = p
    cdef unsigned char* end = p + n
    cdef Bytes after = p
    cdef size_t take
    cdef int answer = MORE
    out[0] = p
    produced[0] = 0
    while True:
        if body.state == DATA:
            take = end - s
            if take > body.left:
                take = <size_t> body.left
            if produced[0] == 0:
                out[0] = s
            elif take:
                memmove(out[0] + produced[0], s, take)
            produced[0] += take
            s += take
            body.left -= take
            if body.left:
                break
            body.state = DATA_END
        elif body.state == DATA_END:
            answer = line_end(s, end)
            if answer == BAD:
                answer = BAD_BODY
            if answer != COMPLETE:
                break
            s += 2
            body.state = SIZE
        elif body.state == SIZE:
            if s == end:
                answer = MORE
                break
            answer = _chunk_size(body, s, end, &after)
            if answer != COMPLETE:
                break
            s = <unsigned char*> after
            body.state = DATA if body.left else TRAILERS
        else:
            answer = COMPLETE
            break
        answer = MORE
    consumed[0] = s - p
    return answer
