from libc.stdint cimport int64_t, uint64_t

from proxy.wire.counters cimport VersionBlock
from proxy.wire.upstream cimport Endpoint, Policy

cdef class Version(Policy):
    cdef readonly str name
    cdef readonly bytes name_bytes
    cdef readonly int slot
    cdef VersionBlock* block
    cdef readonly list endpoints
    cdef list usable
    cdef readonly bytes request_line     # X-Serinus-Version for the upstream
    cdef readonly bytes response_line    # the same for the client, empty unless exposed
    cdef int balance
    cdef int turn
    cdef uint64_t random
    cdef list ring                       # of (point, endpoint), rising
    cdef int64_t slow_start
    cdef int limit
    cdef int queue
    cdef int64_t eject_time
    cdef int64_t eject_longest
    cdef double eject_most
    cdef double panic
    cdef Endpoint pick(self, Endpoint avoid, uint64_t key, int64_t now)
    cdef bint has_other(self, Endpoint than)
    cdef Endpoint _pick(self, Endpoint avoid, uint64_t key, int64_t now)
    cdef bint _is_due(self, Endpoint endpoint, int64_t now)
    cdef Endpoint _on_ring(self, Endpoint avoid, uint64_t key)
