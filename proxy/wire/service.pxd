from libc.stdint cimport int64_t, uint64_t

from proxy.core.routing cimport RequestView
from proxy.core.splitting cimport Splitter
from proxy.wire.version cimport Version

# Why a version was chosen: the words of the access log.
cdef enum Choice:
    BY_WEIGHT
    BY_KEY
    BY_HEADER
    BY_FORCE
    BY_FALLBACK

cdef struct Decision:
    int version
    Choice choice
    bint mint                # the client needs a cookie with the key below
    uint64_t minted
    uint64_t key             # hash for the endpoint's ring

cdef class Service:
    cdef readonly str name
    cdef readonly bytes name_bytes
    cdef readonly object spec
    cdef readonly list versions
    cdef int count
    cdef int whole           # the version that has everything, or -1
    cdef int fallback
    cdef int stable
    cdef bint fallback_on_error
    cdef Splitter splitter
    cdef double weights[64]
    cdef uint64_t names[64]
    cdef unsigned char salt[16]
    cdef unsigned char secret[16]
    cdef list keys           # of (kind, name): see KINDS
    cdef list balance_keys
    cdef bytes cookie_name
    cdef bytes cookie_tail   # the attributes, with CRLF
    cdef bytes cookie_tail_tls       # the same for clients that speak TLS
    cdef int64_t connect
    cdef int64_t response
    cdef int64_t idle
    cdef int64_t total
    cdef int64_t wait
    cdef int64_t tunnel
    cdef int64_t body_limit
    cdef int retry_attempts
    cdef double retry_budget
    cdef unsigned int retry_on   # bits by Outcome
    cdef size_t retry_buffer
    cdef double tokens       # retries that the budget allows now
    cdef bint websocket
    cdef bint own_cookies    # endpoints get them
    cdef uint64_t random
    cdef int choose(self, RequestView view, bytes peer, Decision* decision) except -1
    cdef int find_ring_key(self, RequestView view, bytes peer, Decision* decision) except -1
    cdef bint _key(self, list keys, RequestView view, bytes peer, Decision* decision, uint64_t* hashed) except -1
