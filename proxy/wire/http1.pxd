from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

ctypedef const unsigned char* Bytes

cdef extern from "proxy/wire/scan.h" nogil:
    const uint8_t* SERINUS_TOKEN
    Bytes skip_value "serinus_skip_value"(Bytes p, Bytes end)
    int is_value "serinus_is_value"(unsigned char c)
    int is_digit "serinus_is_digit"(unsigned char c)
    int is_target "serinus_is_target"(unsigned char c)
    int is_authority "serinus_is_authority"(unsigned char c)
    int hex_value "serinus_hex"(unsigned char c)
    int same_text "serinus_same_text"(Bytes a, const char* lower, size_t n)
    int field_of "serinus_field_of"(Bytes s, size_t n, int underscore)
    int method_of "serinus_method_of"(Bytes s, size_t n)
    int64_t digits "serinus_digits"(Bytes p, size_t n)
    int F_OTHER "SERINUS_OTHER"
    int F_HOST "SERINUS_HOST"
    int F_CONNECTION "SERINUS_CONNECTION"
    int F_CONTENT_LENGTH "SERINUS_CONTENT_LENGTH"
    int F_TRANSFER_ENCODING "SERINUS_TRANSFER_ENCODING"
    int F_TE "SERINUS_TE"
    int F_TRAILER "SERINUS_TRAILER"
    int F_UPGRADE "SERINUS_UPGRADE"
    int F_EXPECT "SERINUS_EXPECT"
    int F_HOP "SERINUS_HOP"
    int F_FORWARDED_FOR "SERINUS_FORWARDED_FOR"
    int F_FORWARDED_PROTO "SERINUS_FORWARDED_PROTO"
    int F_FORWARDED_HOST "SERINUS_FORWARDED_HOST"
    int F_FORWARDED_OTHER "SERINUS_FORWARDED_OTHER"
    int F_FORWARDED "SERINUS_FORWARDED"
    int F_REQUEST_ID "SERINUS_REQUEST_ID"
    int F_OWN "SERINUS_OWN"
    int F_COOKIE "SERINUS_COOKIE"
    int F_USER_AGENT "SERINUS_USER_AGENT"
    int F_ACCEPT "SERINUS_ACCEPT"
    int F_TRACEPARENT "SERINUS_TRACEPARENT"
    int F_TWIN "SERINUS_TWIN"
    int F_REFERER "SERINUS_REFERER"
    int F_CONTENT_TYPE "SERINUS_CONTENT_TYPE"
    int F_VERSION "SERINUS_VERSION"
    int F_VIA "SERINUS_VIA"
    int F_MAX_FORWARDS "SERINUS_MAX_FORWARDS"
    int M_OTHER "SERINUS_M_OTHER"
    int M_GET "SERINUS_GET"
    int M_HEAD "SERINUS_HEAD"
    int M_POST "SERINUS_POST"
    int M_PUT "SERINUS_PUT"
    int M_DELETE "SERINUS_DELETE"
    int M_OPTIONS "SERINUS_OPTIONS"
    int M_PATCH "SERINUS_PATCH"
    int M_TRACE "SERINUS_TRACE"
    int M_CONNECT "SERINUS_CONNECT"

cdef enum:
    MAX_FIELDS = 256

# What a scan answers beside a positive Reason.
cdef enum:
    COMPLETE = 0
    MORE = -1

# Offsets into the scanned bytes. `name`..`value + value_len` is one field line without its CRLF; `next` is after it.
cdef struct Field:
    uint32_t name
    uint32_t value
    uint32_t value_len
    uint32_t next
    uint16_t name_len
    uint16_t id

cdef struct Limits:
    uint32_t line
    uint32_t head
    uint32_t fields

# One head, request or response.
cdef struct Head:
    uint32_t end             # offset of the first body byte
    uint32_t fields_at       # offset of the first field line
    uint32_t count           # fields
    uint8_t minor            # 1.minor
    uint8_t method           # request
    uint8_t keep_alive       # may the connection persist, by this head
    uint8_t chunked
    uint8_t named            # Connection names fields to remove
    uint8_t upgrade          # Connection: upgrade together with Upgrade
    uint8_t trailers         # TE: trailers
    uint8_t expect_continue
    uint8_t accepts_json
    uint8_t absolute         # request target in absolute-form
    uint8_t special          # some field is not forwarded as it came
    uint16_t status          # response
    int64_t content_length   # -1: none
    uint32_t method_len
    uint32_t target          # origin-form part: path and query
    uint32_t target_len      # 0: absolute-form without a path
    uint32_t path_len        # without the query
    uint32_t authority       # Host, or that of an absolute-form target
    uint32_t authority_len
    uint32_t reason          # response: offset of the reason phrase
    uint32_t reason_len
    int32_t upgrade_at       # index of fields, -1: none; the same below
    int32_t cookie_at
    int32_t request_id_at
    int32_t agent_at
    int32_t referer_at
    int32_t trace_at
    Field fields[256]

cdef int scan_request(Bytes p, size_t n, const Limits* limits, Head* head) noexcept nogil
cdef int scan_response(Bytes p, size_t n, const Limits* limits, Head* head) noexcept nogil

cdef inline int line_end(Bytes p, Bytes end) noexcept nogil:
    """COMPLETE when CRLF stands at p, MORE when it still may, else BAD_REQUEST."""
    if p >= end:
        return MORE
    if p[0] != 13:
        return 1
    if p + 1 >= end:
        return MORE
    return COMPLETE if p[1] == 10 else 1
