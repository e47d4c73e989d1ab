"""Writing heads anew from scanned parts.

Owns which fields pass, in both directions, and which are added. Must not decide where a message goes.

Rules:
1. Hop-by-hop fields and those that Connection names end here (RFC 9110 section 7.6.1); framing is ours.
2. Forwarding fields from a peer that is not trusted are replaced, from a trusted one they are continued.
3. `X-Serinus-*` from clients that are not trusted, and names with '_' that read like a forwarding field, are dropped; so are
   cookies named `serinus_*`, where the service does not want them.
4. Runs of kept lines are copied whole. The caller made room with request_room or response_room.
"""

from libc.stdint cimport uint32_t
from libc.string cimport memchr, memcmp, memcpy

from proxy.wire.fields cimport connection_names
from proxy.wire.hops cimport forwards_left
from proxy.wire.http1 cimport (
    F_CONNECTION, F_CONTENT_LENGTH, F_COOKIE, F_EXPECT, F_FORWARDED, F_FORWARDED_FOR, F_FORWARDED_HOST, F_FORWARDED_OTHER,
    F_FORWARDED_PROTO, F_HOP, F_HOST, F_MAX_FORWARDS, F_OTHER, F_OWN, F_REQUEST_ID, F_TE, F_TRAILER, F_TRANSFER_ENCODING, F_TWIN, F_UPGRADE,
    F_VERSION, M_OPTIONS, M_TRACE, Bytes, Field, Head, same_text,
)

cdef enum:
    ADDED = 640     # of fixed text in one head, at most


cdef inline unsigned char* _put(unsigned char* out, const void* text, size_t n) noexcept nogil:
    memcpy(out, text, n)
    return out + n


cdef size_t write_number(unsigned char* out, unsigned long long value) noexcept nogil:
    cdef unsigned char digits[24]
    cdef int n = 0
    cdef int i
    while True:
        digits[n] = <unsigned char> (48 + value % 10)
        n += 1
        value //= 10
        if value == 0:
            break
    for i in range(n):
        out[i] = digits[n - 1 - i]
    return n


cdef size_t write_hex(unsigned char* out, unsigned long long value) noexcept nogil:
    cdef int shift = 0
    cdef size_t n = 0
    while shift < 60 and value >> (shift + 4):
        shift += 4
    while shift >= 0:
        out[n] = b"0123456789abcdef"[(value >> shift) & 15]
        n += 1
        shift -= 4
    return n


cdef size_t request_room(const Head* head, const Origin* origin) noexcept nogil:
    """The most that write_request, a version line and write_framing write."""
    return head.end + 2 * head.authority_len + 4 * origin.peer_len + origin.local_len + ADDED + 512


cdef size_t response_room(const Head* head) noexcept nogil:
    return head.end + ADDED


# Requests ------------------------------------------------------------------------------------------------------------

cdef inline bint _passes(Bytes p, const Head* head, const Field* field, const Origin* origin, bint own_cookies) noexcept nogil:
    """Is this request field forwarded as it came?"""
    cdef int id = field.id
    if id == F_OTHER:
        pass
    elif id in (F_CONNECTION, F_CONTENT_LENGTH, F_TRANSFER_ENCODING, F_HOP, F_TE, F_UPGRADE, F_REQUEST_ID, F_TWIN,
                F_VERSION):
        return False
    elif id == F_HOST:
        return not head.absolute
    elif id == F_EXPECT:
        return head.expect_continue
    elif id == F_TRAILER:
        if not head.chunked:
            return False
    elif id in (F_FORWARDED, F_FORWARDED_FOR):
        return False
    elif id in (F_FORWARDED_PROTO, F_FORWARDED_HOST, F_FORWARDED_OTHER, F_OWN):
        return origin.trusted
    elif id == F_COOKIE:
        if not own_cookies and _has_own_cookie(p + field.value, field.value_len):
            return False
    elif id == F_MAX_FORWARDS and _is_limited(head):
        return False
    return not (head.named and connection_names(p, head, field))


cdef inline bint _is_limited(const Head* head) noexcept nogil:
    """Does Max-Forwards count for this request?"""
    return head.method == M_OPTIONS or head.method == M_TRACE


cdef bint _has_own_cookie(Bytes p, size_t n) noexcept nogil:
    cdef Bytes end = p + n
    while end - p >= 8:
        p = <Bytes> memchr(p, 115, end - p - 7)
        if p == NULL:
            return False
        if memcmp(p, b"serinus_", 8) == 0:
            return True
        p += 1
    return False


cdef unsigned char* _other_cookies(unsigned char* out, Bytes p, size_t n) noexcept nogil:
    """The Cookie field without the cookies that are ours, nothing when none is left; never longer than it came."""
    cdef unsigned char* start = out
    cdef size_t i = 0
    cdef size_t name
    cdef size_t stop
    cdef bint first = True
    out = _put(out, b"Cookie: ", 8)
    while i < n:
        name = i
        while name < n and (p[name] == 32 or p[name] == 9):
            name += 1
        stop = name
        while stop < n and p[stop] != 59:
            stop += 1
        if stop > name and not (stop - name >= 8 and memcmp(p + name, b"serinus_", 8) == 0):
            # What stands between two cookies stays as it came: its white space and one semicolon.
            if first:
                out = _put(out, p + name, stop - name)
            else:
                out = _put(out, b";", 1)
                out = _put(out, p + i, stop - i)
            first = False
        i = stop + 1
    return start if first else _put(out, b"\r\n", 2)


cdef unsigned char* _continued(unsigned char* out, Bytes p, const Head* head, int id) noexcept nogil:
    """The values that all fields of this kind have, each with a comma behind it."""
    cdef uint32_t i
    for i in range(head.count):
        if head.fields[i].id == id and head.fields[i].value_len:
            out = _put(out, p + head.fields[i].value, head.fields[i].value_len)
            out = _put(out, b", ", 2)
    return out


cdef bint _has(const Head* head, int id) noexcept nogil:
    cdef uint32_t i
    for i in range(head.count):
        if head.fields[i].id == id:
            return True
    return False


cdef unsigned char* _forwarding(unsigned char* out, Bytes p, const Head* head, const Origin* origin, const void* host,
                                size_t host_len) noexcept nogil:
    """X-Forwarded-For, -Proto, -Host and Forwarded (RFC 7239)."""
    cdef bint trusted = origin.trusted
    cdef bint v6 = memchr(origin.peer, 58, origin.peer_len) != NULL
    if origin.peer_len or trusted and _has(head, F_FORWARDED_FOR):
        out = _put(out, b"X-Forwarded-For: ", 17)
        if trusted:
            out = _continued(out, p, head, F_FORWARDED_FOR)
        if origin.peer_len:
            out = _put(out, origin.peer, origin.peer_len)
        else:
            out -= 2
        out = _put(out, b"\r\n", 2)
    if not (trusted and _has(head, F_FORWARDED_PROTO)):
        out = _put(out, b"X-Forwarded-Proto: https\r\n", 26) if origin.tls else _put(out, b"X-Forwarded-Proto: http\r\n", 25)
    if not (trusted and _has(head, F_FORWARDED_HOST)):
        out = _put(out, b"X-Forwarded-Host: ", 18)
        out = _put(out, host, host_len)
        out = _put(out, b"\r\n", 2)
    out = _put(out, b"Forwarded: ", 11)
    if trusted:
        out = _continued(out, p, head, F_FORWARDED)
    out = _put(out, b"for=", 4)
    if origin.peer_len == 0:
        out = _put(out, b"unknown", 7)
    elif v6:
        out = _put(out, b"\"[", 2)
        out = _put(out, origin.peer, origin.peer_len)
        out = _put(out, b"]\"", 2)
    else:
        out = _put(out, origin.peer, origin.peer_len)
    out = _put(out, b";host=\"", 7)
    out = _put(out, host, host_len)
    return _put(out, b"\";proto=https\r\n", 15) if origin.tls else _put(out, b"\";proto=http\r\n", 14)


cdef size_t write_request(unsigned char* out, Bytes p, const Head* head, const Origin* origin, const char* request_id,
                          size_t id_len, bint websocket, bint own_cookies) noexcept nogil:
    """The head for the upstream, up to where the version line, the framing and the empty line follow."""
    cdef unsigned char* start = out
    cdef const Field* field
    cdef uint32_t run = 0       # kept lines from here ...
    cdef uint32_t run_end = 0   # ... to here
    cdef uint32_t i
    cdef const void* host = p + head.authority if head.authority_len else <const void*> origin.local
    cdef size_t host_len = head.authority_len if head.authority_len else origin.local_len
    out = _put(out, p, head.method_len)
    out[0] = 32
    out += 1
    if head.target_len == 0:
        out = _put(out, b"/", 1)
    elif head.absolute and p[head.target] == 63:
        out = _put(out, b"/", 1)
    out = _put(out, p + head.target, head.target_len)
    out = _put(out, b" HTTP/1.1\r\n", 11)
    if head.absolute or head.authority_len == 0:
        out = _put(out, b"Host: ", 6)
        out = _put(out, host, host_len)
        out = _put(out, b"\r\n", 2)
    for i in range(head.count):
        field = &head.fields[i]
        if _passes(p, head, field, origin, own_cookies):
            if run_end != field.name:
                out = _put(out, p + run, run_end - run)
                run = field.name
            run_end = field.next
        elif field.id == F_COOKIE and not (head.named and connection_names(p, head, field)):
            out = _put(out, p + run, run_end - run)
            run = run_end = field.next
            out = _other_cookies(out, p + field.value, field.value_len)
    out = _put(out, p + run, run_end - run)
    if _is_limited(head) and _has(head, F_MAX_FORWARDS):
        out = _put(out, b"Max-Forwards: ", 14)
        out += write_number(out, <unsigned long long> forwards_left(p, head) - 1)  # 0 was answered here
        out = _put(out, b"\r\n", 2)
    out = _forwarding(out, p, head, origin, host, host_len)
    out = _put(out, b"X-Request-Id: ", 14)
    out = _put(out, request_id, id_len)
    out = _put(out, b"\r\n", 2)
    if websocket:
        out = _put(out, b"Connection: Upgrade\r\nUpgrade: websocket\r\n", 41)
    elif head.trailers:
        out = _put(out, b"Connection: TE\r\nTE: trailers\r\n", 30)
    return out - start


cdef size_t write_framing(unsigned char* out, const Head* head) noexcept nogil:
    """The framing of the body that follows, and the end of the head."""
    cdef unsigned char* start = out
    if head.chunked:
        return _put(out, b"Transfer-Encoding: chunked\r\n\r\n", 30) - start
    if head.content_length >= 0:
        out = _put(out, b"Content-Length: ", 16)
        out += write_number(out, <unsigned long long> head.content_length)
        out = _put(out, b"\r\n", 2)
    return _put(out, b"\r\n", 2) - start


# Responses -----------------------------------------------------------------------------------------------------------

cdef size_t write_response(unsigned char* out, Bytes p, const Head* head, bint keep_trailer) noexcept nogil:
    """The status line and the fields that pass; Connection, framing and the empty line are the caller's."""
    cdef unsigned char* start = out
    cdef const Field* field
    cdef uint32_t run = 0
    cdef uint32_t run_end = 0
    cdef uint32_t i
    cdef int id
    out = _put(out, b"HTTP/1.1 ", 9)
    out = _put(out, p + 9, 3)
    out[0] = 32
    out += 1
    out = _put(out, p + head.reason, head.reason_len)
    out = _put(out, b"\r\n", 2)
    for i in range(head.count):
        field = &head.fields[i]
        id = field.id
        if id in (F_CONNECTION, F_CONTENT_LENGTH, F_TRANSFER_ENCODING, F_HOP, F_TE, F_UPGRADE, F_OWN, F_VERSION):
            continue
        if id == F_TWIN and same_text(p + field.name, b"x-serinus-", 10):
            continue  # underscores behind our prefix; the twins of other names pass, as nobody reads them as ours
        if id == F_TRAILER and not keep_trailer or head.named and connection_names(p, head, field):
            continue
        if run_end != field.name:
            out = _put(out, p + run, run_end - run)
            run = field.name
        run_end = field.next
    return _put(out, p + run, run_end - run) - start


cdef const char** SILENT = [
    b"authorization", b"cookie", b"set-cookie", b"www-authenticate", b"content-encoding", b"content-range", b"content-type",
    b"cache-control", b"age", b"expires", b"date", b"location", b"retry-after", b"vary", b"max-forwards", b"range", NULL,
]


cdef size_t write_trailers(unsigned char* out, Bytes p, const Head* head) noexcept nogil:
    """The trailer fields that pass (RFC 9110 section 6.5.1: none that acts on the message's handling)."""
    cdef unsigned char* start = out
    cdef const Field* field
    cdef uint32_t i
    cdef int k
    for i in range(head.count):
        field = &head.fields[i]
        if field.id != F_OTHER:
            continue
        k = 0
        while SILENT[k] != NULL and not (same_text(p + field.name, SILENT[k], field.name_len) and SILENT[k][field.name_len] == 0):
            k += 1
        if SILENT[k] == NULL:
            out = _put(out, p + field.name, field.next - field.name)
    return out - start
