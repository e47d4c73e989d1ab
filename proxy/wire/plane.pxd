from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

from proxy.core.routing cimport Router
from proxy.wire.counters cimport Slab, VersionBlock
from proxy.wire.http1 cimport Head, Limits
from proxy.wire.poller cimport Poller, Socket
from proxy.wire.view cimport HeadView

cdef class Record:
    cdef int write(self, object exchange) except -1

cdef class Plane:
    cdef Poller poller
    cdef Slab slab
    cdef VersionBlock* nowhere       # counts requests that reached no service
    cdef readonly int64_t generation
    cdef Router router
    cdef readonly list services      # by the index that routes use
    cdef readonly dict service_index
    cdef readonly dict endpoints     # by slot
    cdef readonly object settings
    cdef bytes secret
    cdef Limits limits
    cdef Limits answer_limits
    cdef Limits trailer_limits
    cdef Head head                   # of the request being scanned
    cdef Head answer                 # of the response being scanned
    cdef HeadView view
    cdef unsigned char* out          # heads being written
    cdef size_t out_size
    cdef list spare                  # exchanges to use again
    cdef Record log                  # None: no access log
    cdef readonly bint draining
    cdef int64_t drained_at          # ns; all is over then
    cdef list leaving                # endpoints that drain and have something in flight
    cdef int64_t head_timeout
    cdef int64_t keepalive_timeout
    cdef int64_t body_timeout
    cdef int64_t write_timeout
    cdef uint64_t body_least         # bytes of a body that have to come in each body_timeout
    cdef uint64_t write_least        # bytes that a client has to take in each write_timeout
    cdef int clients
    cdef readonly int max_clients
    cdef int64_t crowded_until       # ns; no client was idle when room was needed
    cdef int64_t crowd_told          # ns; when the lack of room was last logged
    cdef int max_per_peer
    cdef dict peers                  # connections by address, while there is a limit
    cdef list trusted
    cdef list reserved               # names of fields that no client may send, in lower case; None: there are none
    cdef list reserved_from_strangers    # and those that only trusted proxies may
    cdef bytes via                   # our name in Via, in lower case; None: we are not in it
    cdef bytes via_1_0               # its line for what came as HTTP/1.0
    cdef bytes via_1_1
    cdef bint via_on_responses
    cdef dict trust                  # answers by address
    cdef uint64_t random
    cdef uint64_t dropped
    cdef uint64_t next_random(self) noexcept
    cdef int room(self, size_t size) except -1
    cdef bint enter(self, Socket socket, int fd) except -1
    cdef void leave(self) noexcept
    cdef bint trusts(self, bytes peer) except -1
