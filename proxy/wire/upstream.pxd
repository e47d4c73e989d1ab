from libc.stdint cimport int64_t

from proxy.wire.counters cimport EndpointBlock, Slab
from proxy.wire.poller cimport Poller, Socket, sockaddr_storage, socklen_t

cdef class Taker:
    cdef int upstream_connected(self) except -1
    cdef int upstream_failed(self, int error) except -1
    cdef int upstream_readable(self) except -1
    cdef int upstream_drained(self) except -1
    cdef int upstream_expired(self, int64_t now) except -1
    cdef int upstream_broken(self) except -1
    cdef int endpoint_free(self) except -1

cdef enum UpstreamState:
    CONNECTING
    BUSY
    IDLE

# What can go wrong with a connection beside an errno.
cdef enum:
    NO_TLS = 10001
    BAD_CERTIFICATE = 10002

cdef class Upstream(Socket):
    cdef Endpoint endpoint
    cdef Taker taker                 # None while idle
    cdef UpstreamState state
    cdef bint reused                 # it has answered before
    cdef int64_t idle_from           # ns; when it was last put back
    cdef int era                     # of the endpoint's addresses
    cdef unsigned char* held         # the beginning of something that is not whole yet
    cdef size_t held_size
    cdef ssize_t take(self) noexcept
    cdef int hold(self, const unsigned char* rest, size_t size) except -1
    cdef void pause(self) noexcept
    cdef void resume(self) noexcept
    cdef void remember(self) noexcept

cdef class Endpoint:
    cdef readonly str address
    cdef readonly bytes name
    cdef readonly int slot
    cdef Poller poller
    cdef Slab slab
    cdef EndpointBlock* block
    cdef Policy policy
    cdef sockaddr_storage* addresses
    cdef socklen_t* lengths
    cdef int address_count
    cdef int address_next
    cdef int era                     # how often the addresses changed
    cdef readonly object sockets
    cdef readonly object context     # ssl.SSLContext; None: it speaks plain HTTP
    cdef readonly str server_name    # asked for and verified
    cdef object secured              # makes a connection that speaks TLS
    cdef object session              # to resume, as the last connection had it
    cdef int64_t told                # ns; when its trouble with TLS was last logged
    cdef readonly bint up            # takes new requests, by its state and by having an address
    cdef readonly bint healthy       # by the active checks
    cdef int64_t warm_from           # ns; 0: warm
    cdef list idle
    cdef Upstream latest             # what acquire or connect gave
    cdef int in_flight
    cdef object waiting              # deque of Taker
    cdef int64_t leaves_at           # ns; what is long here ends then; 0: it does not drain
    cdef int64_t leave_jitter
    cdef int64_t ejected_until       # ns; 0: not ejected
    cdef int ejections
    cdef int failures                # in a row
    cdef int recent                  # attempts in the current window
    cdef int recent_failures
    cdef int acquire(self, Taker taker) except -1000
    cdef int connect(self, Taker taker) except -1000
    cdef bint has_rested(self, int64_t now) noexcept
    cdef void put(self, Upstream upstream) noexcept
    cdef void discard(self, Upstream upstream) noexcept
    cdef int left(self) except -1
    cdef int tell(self, object error) except -1
    cdef void note(self, bint failed, int64_t now)
    cdef void settle(self, int64_t now)
    cdef void pardon(self)

# What the newest version that an endpoint belongs to says about it.
cdef class Policy:
    cdef int pool_idle
    cdef int64_t keepalive
    cdef int64_t fresh_after         # ns; so long unused, it gets nothing that must not be sent twice; 0: it does
    cdef int eject_consecutive
    cdef double eject_share
    cdef int eject_minimum
    cdef void refresh(self)
    cdef void eject(self, Endpoint endpoint, int64_t now)
