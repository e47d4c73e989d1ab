"""Header fields and trailers: what they may look like, and what those mean that the proxy acts on.

Owns field lines, Connection and the framing fields. Must not know request or status lines (http1.pyx).

Rules: those of http1.pyx. Nothing here is lenient: a name is a token right before its colon, a value holds no control
character but HTAB, a line ends with CRLF and is not continued (RFC 9112 section 5).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcpy

from proxy.wire.http1 cimport (
    COMPLETE, F_ACCEPT, F_CONNECTION, F_CONTENT_LENGTH, F_COOKIE, F_EXPECT, F_HOST, F_OTHER, F_REFERER, F_REQUEST_ID, F_TE,
    F_TRACEPARENT, F_TRAILER, F_TRANSFER_ENCODING, F_UPGRADE, F_USER_AGENT, MORE, SERINUS_TOKEN, Bytes, Field, Head, Limits,
    digits, field_of, is_authority, is_digit, line_end, same_text, skip_value,
)

from proxy.core.outcome import Reason

cdef extern from "<arpa/inet.h>" nogil:
    enum:
        AF_INET6
        INET6_ADDRSTRLEN
    cdef struct in6_addr:
        pass
    int inet_pton(int family, const char* text, void* address)

cdef int BAD = int(Reason.BAD_REQUEST)
cdef int TOO_LARGE = int(Reason.HEAD_TOO_LARGE)
cdef int TOO_MANY = int(Reason.TOO_MANY_HEADERS)
cdef int EXPECTATION = int(Reason.EXPECTATION_FAILED)
cdef int BAD_BODY = int(Reason.BAD_BODY)

# Fields that Connection must not remove (CVE-2021-32813 and its kind): such a request is refused.
cdef const char** PROTECTED = [
    b"host", b"content-length", b"content-type", b"transfer-encoding", b"cookie", b"authorization", b"forwarded", b"x-request-id",
    b"x-real-ip", b"traceparent", b"expect", NULL,
]


cdef bint _is_ipv6(Bytes p, size_t n) noexcept nogil:
    """Is this an IPv6 address, without a zone?"""
    cdef char text[INET6_ADDRSTRLEN]
    cdef in6_addr address
    if n >= INET6_ADDRSTRLEN or memchr(p, 0, n) != NULL:
        return False
    memcpy(text, p, n)
    text[n] = 0
    return inet_pton(AF_INET6, text, &address) == 1


cdef int check_authority(Bytes p, size_t n) noexcept nogil:
    """Is this `host[:port]` (RFC 3986 section 3.2.2)? Empty, user information, a path or a list is not."""
    cdef size_t i = 0
    cdef size_t start
    if n == 0:
        return BAD
    if p[0] == 91:
        while i < n and p[i] != 93:
            i += 1
        if i == n or not _is_ipv6(p + 1, i - 1):
            return BAD
        i += 1
    else:
        while i < n and p[i] != 58:
            if not is_authority(p[i]) or p[i] == 91 or p[i] == 93:
                return BAD
            i += 1
        if i == 0:
            return BAD
    if i == n:
        return COMPLETE
    if p[i] != 58:
        return BAD
    start = i + 1
    i = start
    while i < n:
        if not is_digit(p[i]):
            return BAD
        i += 1
    return BAD if i - start > 5 else COMPLETE


cdef bint has_token(Bytes p, size_t n, const char* lower, size_t length) noexcept nogil:
    """Is `lower` an element of this comma-separated list (any case)?"""
    cdef size_t i = 0
    cdef size_t start
    cdef size_t stop
    while i < n:
        while i < n and (p[i] == 32 or p[i] == 9 or p[i] == 44):
            i += 1
        start = i
        while i < n and p[i] != 44:
            i += 1
        stop = i
        while stop > start and (p[stop - 1] == 32 or p[stop - 1] == 9):
            stop -= 1
        if stop - start == length and same_text(p + start, lower, length):
            return True
    return False


cdef bint _same_name(Bytes a, Bytes b, size_t n) noexcept nogil:
    cdef size_t i
    for i in range(n):
        if (a[i] | 0x20) != (b[i] | 0x20):
            return False
    return True


cdef bint connection_names(Bytes p, const Head* head, const Field* field) noexcept nogil:
    """Does a Connection field name this one?"""
    cdef uint32_t i
    cdef const Field* c
    cdef char name[256]
    cdef uint32_t k
    if field.name_len > 255:
        return False
    for k in range(field.name_len):
        name[k] = <char> (p[field.name + k] | 0x20 if 65 <= p[field.name + k] <= 90 else p[field.name + k])
    for i in range(head.count):
        c = &head.fields[i]
        if c.id == F_CONNECTION and has_token(p + c.value, c.value_len, name, field.name_len):
            return True
    return False


cdef int _connection(Bytes p, size_t n, Head* head) noexcept nogil:
    """Reads the options of one Connection field (RFC 9110 section 7.6.1)."""
    cdef size_t i = 0
    cdef size_t start
    cdef size_t length
    cdef int k
    while i < n:
        while i < n and (p[i] == 32 or p[i] == 9 or p[i] == 44):
            i += 1
        start = i
        while i < n and SERINUS_TOKEN[p[i]]:
            i += 1
        length = i - start
        while i < n and (p[i] == 32 or p[i] == 9):
            i += 1
        if i < n and p[i] != 44:
            return BAD
        if length == 0:
            continue
        if length == 5 and same_text(p + start, b"close", 5):
            head.keep_alive = 0
        elif length == 10 and same_text(p + start, b"keep-alive", 10):
            if head.keep_alive == 2:
                head.keep_alive = 1
        elif length == 7 and same_text(p + start, b"upgrade", 7):
            head.upgrade = 1
        elif not (length == 2 and same_text(p + start, b"te", 2)):
            head.named = 1
            if length >= 10 and same_text(p + start, b"x-serinus-", 10) or length > 12 and same_text(
                    p + start, b"x-forwarded-", 12):
                return BAD
            k = 0
            while PROTECTED[k] != NULL:
                if same_text(p + start, PROTECTED[k], length) and PROTECTED[k][length] == 0:
                    return BAD
                k += 1
    return COMPLETE


cdef int _framing_field(Bytes v, size_t n, int id, Head* head) noexcept nogil:
    if id == F_CONTENT_LENGTH:
        if head.content_length >= 0:
            return BAD
        head.content_length = digits(v, n)
        return BAD if head.content_length < 0 else COMPLETE
    if head.chunked or n != 7 or not same_text(v, b"chunked", 7):
        return BAD
    head.chunked = 1
    return COMPLETE


cdef bint _names_json(Bytes p, size_t n) noexcept nogil:
    """Is a JSON media type in this Accept field (`application/json`, `application/problem+json`)?"""
    cdef size_t i
    for i in range(3, n):
        if same_text(p + i - 3, b"json", 4):
            return True
    return False


cdef int _note(Bytes p, Field* field, int index, Head* head, bint request) noexcept nogil:
    """Acts on a field that means something to the proxy; answers COMPLETE or the reason to refuse."""
    cdef Bytes v = p + field.value
    cdef int id = field.id
    if id == F_CONTENT_LENGTH or id == F_TRANSFER_ENCODING:
        head.special |= 1
        return _framing_field(v, field.value_len, id, head)
    if id == F_CONNECTION:
        head.special |= 1
        return _connection(v, field.value_len, head)
    if id == F_HOST:
        if not request:
            return COMPLETE
        if head.authority_len and not head.absolute or head.special & 2:
            return BAD
        head.special |= 2
        if check_authority(v, field.value_len) != COMPLETE:
            return BAD
        if head.absolute:
            return COMPLETE if field.value_len == head.authority_len and _same_name(
                v, p + head.authority, field.value_len) else BAD
        head.authority = field.value
        head.authority_len = field.value_len
    elif id == F_COOKIE:
        if head.cookie_at < 0:
            head.cookie_at = index
    elif id == F_ACCEPT:
        head.accepts_json |= _names_json(v, field.value_len)
    elif id == F_USER_AGENT:
        head.agent_at = index
    elif id == F_REFERER:
        head.referer_at = index
    elif id == F_TRACEPARENT:
        head.trace_at = index
    elif id == F_REQUEST_ID:
        head.request_id_at = index
    elif id == F_UPGRADE:
        head.special |= 1
        head.upgrade_at = index
    elif id == F_TE:
        head.special |= 1
        head.trailers = has_token(v, field.value_len, b"trailers", 8)
    elif id == F_EXPECT and request:
        if head.minor == 1:
            # Twice is a list of two, which a server may read as neither (RFC 9110 section 5.3).
            if head.expect_continue or not (field.value_len == 12 and same_text(v, b"100-continue", 12)):
                return EXPECTATION
            head.expect_continue = 1
    else:
        head.special |= 1
    return COMPLETE


cdef int scan_fields(Bytes p, Bytes s, Bytes end, const Limits* limits, Head* head, bint request) noexcept nogil:
    """Reads field lines from s to the empty line; sets head.end."""
    cdef Bytes start
    cdef Bytes stop
    cdef int underscore
    cdef int answer
    cdef Field* field
    cdef uint32_t count = 0
    head.fields_at = <uint32_t> (s - p)
    while True:
        if s >= end:
            return MORE
        if s[0] == 13:
            answer = line_end(s, end)
            if answer == COMPLETE:
                head.count = count
                head.end = <uint32_t> (s + 2 - p)
            return answer
        if count >= limits.fields:
            return TOO_MANY
        start = s
        underscore = 0
        while s < end and SERINUS_TOKEN[s[0]]:
            underscore |= SERINUS_TOKEN[s[0]]
            s += 1
        if s == end:
            return MORE
        if s[0] != 58 or s == start or s - start > 65535:
            return BAD
        field = &head.fields[count]
        field.name = <uint32_t> (start - p)
        field.name_len = <uint16_t> (s - start)
        field.id = <uint16_t> field_of(start, s - start, underscore & 2)
        s += 1
        while s < end and (s[0] == 32 or s[0] == 9):
            s += 1
        field.value = <uint32_t> (s - p)
        s = skip_value(s, end)
        answer = line_end(s, end)
        if answer != COMPLETE:
            return answer
        stop = s
        while stop > p + field.value and ((stop - 1)[0] == 32 or (stop - 1)[0] == 9):
            stop -= 1
        field.value_len = <uint32_t> (stop - p) - field.value
        s += 2
        field.next = <uint32_t> (s - p)
        if field.id != F_OTHER:
            answer = _note(p, field, count, head, request)
            if answer != COMPLETE:
                return answer
        count += 1


cdef void reset_head(Head* head) noexcept nogil:
    head.count = 0
    head.end = 0
    head.keep_alive = 2
    head.chunked = head.named = head.upgrade = head.trailers = head.expect_continue = head.absolute = head.special = 0
    head.accepts_json = 0
    head.content_length = -1
    head.authority_len = 0
    head.upgrade_at = head.cookie_at = head.request_id_at = -1
    head.agent_at = head.referer_at = head.trace_at = -1


cdef int within_limits(int answer, size_t n, const Limits* limits, const Head* head) noexcept nogil:
    """The answer of a scan with the limit of the whole head applied."""
    if answer == MORE:
        return TOO_LARGE if n >= limits.head else MORE
    if answer == COMPLETE and head.end > limits.head:
        return TOO_LARGE
    return answer


cdef int scan_trailers(Bytes p, size_t n, const Limits* limits, Head* head) noexcept nogil:
    """Scans a trailer section, to its empty line. Fields of framing, routing and authentication are faults in it (RFC 9110
    section 6.5.1)."""
    cdef int answer
    cdef uint32_t i
    reset_head(head)
    answer = within_limits(scan_fields(p, p, p + n, limits, head, False), n, limits, head)
    if answer != COMPLETE:
        return MORE if answer == MORE else BAD_BODY
    for i in range(head.count):
        if head.fields[i].id in (F_HOST, F_CONTENT_LENGTH, F_TRANSFER_ENCODING, F_CONNECTION, F_TRAILER, F_TE, F_UPGRADE):
            return BAD_BODY
        if head.fields[i].name_len == 13 and same_text(p + head.fields[i].name, b"authorization", 13):
            return BAD_BODY
    return COMPLETE
