"""HTTP/1.1 heads: bytes to offsets and numbers, in one pass, strictly.

Owns what is accepted. Must not write anything, allocate anything, or know what is done with a message.

Rules:
1. What two parsers could read differently is refused: a bare LF or CR, a control character, white space around a name,
   a folded line, two ways of framing at once, a length that is not only digits (RFC 9112 sections 2.2, 5.1, 5.2, 6.3).
2. A scan starts at the first byte of a message and answers COMPLETE, MORE (bytes are missing and no limit is reached), or
   the `Reason` to refuse it. The answer does not depend on how the bytes were cut into reads.
3. Offsets are relative to the scanned bytes. White space around values is not part of them; only SP and HTAB are white.
4. Limits hold before memory grows: the caller never keeps more than limits.head bytes of an unfinished head. What stands
   behind a limit is not looked at.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr, memcmp

from proxy.wire.fields cimport check_authority, reset_head, scan_fields, within_limits

from proxy.core.outcome import Reason

cdef int BAD = int(Reason.BAD_REQUEST)
cdef int LINE_TOO_LONG = int(Reason.REQUEST_LINE_TOO_LONG)
cdef int TOO_LARGE = int(Reason.HEAD_TOO_LARGE)
cdef int VERSION = int(Reason.VERSION_NOT_SUPPORTED)
cdef int NO_METHOD = int(Reason.METHOD_NOT_ALLOWED)

cdef enum:
    METHOD_LIMIT = 64

# Lines ---------------------------------------------------------------------------------------------------------------

cdef inline int _version(Bytes p, Bytes end, uint8_t* minor) noexcept nogil:
    """Reads `HTTP/1.x` at p; MORE when it is cut off."""
    cdef size_t have = end - p
    if memcmp(p, b"HTTP/", have if have < 5 else 5) != 0:
        return BAD
    if have < 8:
        return MORE
    if not is_digit(p[5]) or p[6] != 46 or not is_digit(p[7]):
        return BAD
    if p[5] != 49 or p[7] > 49:
        return VERSION
    minor[0] = p[7] - 48
    return COMPLETE


cdef int _target(Bytes p, uint32_t at, uint32_t n, Head* head) noexcept nogil:
    """Splits the request target into authority, path and query by its form (RFC 9112 section 3.2)."""
    cdef uint32_t skip
    cdef uint32_t i
    cdef const void* mark
    head.target = at
    head.target_len = n
    head.absolute = 0
    head.authority_len = 0
    if head.method == M_CONNECT:
        return NO_METHOD
    if p[at] == 42:
        if n != 1 or head.method != M_OPTIONS:
            return BAD
    elif p[at] != 47:
        if n > 7 and same_text(p + at, b"http://", 7):
            skip = 7
        elif n > 8 and same_text(p + at, b"https://", 8):
            skip = 8
        else:
            return BAD
        i = skip
        while i < n and p[at + i] != 47 and p[at + i] != 63:
            i += 1
        if check_authority(p + at + skip, i - skip) != COMPLETE:
            return BAD
        head.absolute = 1
        head.authority = at + skip
        head.authority_len = i - skip
        head.target = at + i
        head.target_len = n - i
    mark = memchr(p + head.target, 63, head.target_len)
    head.path_len = <uint32_t> (<Bytes> mark - (p + head.target)) if mark != NULL else head.target_len
    return COMPLETE


cdef int _request_line(Bytes p, Bytes end, Head* head, Bytes* after) noexcept nogil:
    cdef Bytes s = p
    cdef Bytes target
    cdef int answer
    while s < end and SERINUS_TOKEN[s[0]]:
        s += 1
    head.method_len = <uint32_t> (s - p)
    if head.method_len > METHOD_LIMIT:
        return BAD
    if s == end:
        return MORE
    if s[0] != 32 or s == p:
        return BAD
    head.method = <uint8_t> method_of(p, head.method_len)
    s += 1
    target = s
    while s < end and is_target(s[0]):
        s += 1
    if s == end:
        return MORE
    if s[0] != 32 or s == target:
        return BAD
    answer = _version(s + 1, end, &head.minor)
    if answer != COMPLETE:
        return answer
    answer = line_end(s + 9, end)
    if answer != COMPLETE:
        return answer
    after[0] = s + 11
    return _target(p, <uint32_t> (target - p), <uint32_t> (s - target), head)


cdef int _status_line(Bytes p, Bytes end, Head* head, Bytes* after) noexcept nogil:
    cdef Bytes s
    cdef int answer = _version(p, end, &head.minor)
    if answer != COMPLETE:
        return answer
    s = p + 8
    if end - s < 5:
        if s < end and s[0] != 32:
            return BAD
        return MORE
    if s[0] != 32 or not (is_digit(s[1]) and is_digit(s[2]) and is_digit(s[3])):
        return BAD
    head.status = (s[1] - 48) * 100 + (s[2] - 48) * 10 + (s[3] - 48)
    if head.status < 100 or head.status > 599:
        return BAD
    s += 4
    if s[0] == 32:
        s += 1
    elif s[0] != 13:
        return BAD
    head.reason = <uint32_t> (s - p)
    s = skip_value(s, end)
    head.reason_len = <uint32_t> (s - p) - head.reason
    after[0] = s + 2
    return line_end(s, end)


cdef int scan_request(Bytes p, size_t n, const Limits* limits, Head* head) noexcept nogil:
    """Scans a request head at p. Raises nothing; answers COMPLETE, MORE or a Reason (RFC 9112 sections 2 to 6)."""
    cdef Bytes s = p
    cdef size_t line = <size_t> limits.line + 2  # with its CRLF
    cdef int answer
    reset_head(head)
    answer = _request_line(p, p + min(n, line), head, &s)
    if answer == MORE:
        return LINE_TOO_LONG if n >= line else MORE
    if answer != COMPLETE:
        return answer
    answer = within_limits(scan_fields(p, s, p + min(n, <size_t> limits.head), limits, head, True), n, limits, head)
    if answer != COMPLETE:
        return answer
    if head.minor == 1:
        if not head.special & 2:
            return BAD
        head.keep_alive = 1 if head.keep_alive else 0
    else:
        if head.chunked:
            return BAD
        head.keep_alive = 1 if head.keep_alive == 1 else 0
        head.upgrade = 0
    if head.chunked and head.content_length >= 0:
        return BAD
    head.upgrade = head.upgrade and head.upgrade_at >= 0
    return COMPLETE


cdef int scan_response(Bytes p, size_t n, const Limits* limits, Head* head) noexcept nogil:
    """Scans a response head at p. Answers COMPLETE, MORE, TOO_LARGE or, for all other faults, BAD_REQUEST."""
    cdef Bytes s = p
    cdef Bytes end = p + min(n, <size_t> limits.head)
    cdef int answer
    reset_head(head)
    answer = _status_line(p, end, head, &s)
    if answer == COMPLETE:
        answer = scan_fields(p, s, end, limits, head, False)
    answer = within_limits(answer, n, limits, head)
    if answer != COMPLETE:
        return answer if answer == MORE or answer == TOO_LARGE else BAD
    head.keep_alive = (1 if head.keep_alive else 0) if head.minor == 1 else (1 if head.keep_alive == 1 else 0)
    if head.chunked and (head.content_length >= 0 or head.minor == 0 or head.status < 200 or head.status == 204):
        return BAD
    head.upgrade = head.upgrade and head.upgrade_at >= 0
    return COMPLETE
