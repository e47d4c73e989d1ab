from libc.stddef cimport size_t

from proxy.wire.http1 cimport Bytes, Head

# The client of a request, as forwarding fields tell it.
cdef struct Origin:
    char peer[64]
    int peer_len             # 0: unknown, as over a unix socket
    char local[80]           # our own end, for requests without Host
    int local_len
    bint trusted
    bint tls

cdef size_t request_room(const Head* head, const Origin* origin) noexcept nogil
cdef size_t response_room(const Head* head) noexcept nogil
cdef size_t write_request(unsigned char* out, Bytes p, const Head* head, const Origin* origin, const char* request_id,
                          size_t id_len, bint websocket, bint own_cookies) noexcept nogil
cdef size_t write_framing(unsigned char* out, const Head* head) noexcept nogil
cdef size_t write_response(unsigned char* out, Bytes p, const Head* head, bint keep_trailer) noexcept nogil
cdef size_t write_trailers(unsigned char* out, Bytes p, const Head* head) noexcept nogil
cdef size_t write_number(unsigned char* out, unsigned long long value) noexcept nogil
cdef size_t write_hex(unsigned char* out, unsigned long long value) noexcept nogil
