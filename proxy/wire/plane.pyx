"""What all connections of one worker share: the snapshot in force, the limits, and the buffers for one event.

Owns the replacement of one snapshot by the next, and how many connections of clients there are. Must not read them.

Rules:
1. A snapshot is applied in one step without a wait; exchanges keep the Service and Version that they began with.
2. Endpoints are found again by slot and address, so their connections and loads outlive snapshots.
3. `head`, `answer` and `out` hold one message during one event and nothing afterwards.
"""

import ipaddress
from os import getpid, urandom

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

from proxy.core.hashing cimport mix
from proxy.core.routing cimport Router
from proxy.wire.counters cimport Slab
from proxy.wire.http1 cimport MAX_FIELDS, Limits
from proxy.wire.poller cimport EPOLLIN, Poller, Socket, monotonic
from proxy.wire.service cimport Service
from proxy.wire.upstream cimport Endpoint
from proxy.wire.version cimport Version
from proxy.wire.view cimport HeadView

cdef enum:
    HEAD_MOST = 131072      # what the poller's scratch holds from an earlier read
    OUT_SIZE = 16384
    TRUST_KEPT = 4096
    SPARE_DESCRIPTORS = 64  # for listeners, logs, the control channel

cdef int64_t NEVER = <int64_t> 1 << 60      # 36 years


cdef class Record:
    """Where finished exchanges are written down."""

    cdef int write(self, object exchange) except -1:
        return 0


cdef int64_t _ns(double seconds):
    return <int64_t> (seconds * 1e9)


cdef class Plane:
    def __init__(self, Poller poller, Slab slab):
        self.poller = poller
        self.slab = slab
        self.nowhere = slab.version(0)
        self.services = []
        self.service_index = {}
        self.endpoints = {}
        self.spare = []
        self.leaving = []
        self.peers = {}
        self.view = HeadView()
        self.random = int.from_bytes(urandom(8), "little")
        self.router = Router((), {})
        self.room(OUT_SIZE)

    def __dealloc__(self):
        PyMem_RawFree(self.out)

    cdef uint64_t next_random(self) noexcept:
        self.random += 1
        return mix(self.random)

    cdef int room(self, size_t size) except -1:
        """Make sure that `out` holds so many bytes."""
        cdef unsigned char* grown
        if size > self.out_size:
            grown = <unsigned char*> PyMem_RawRealloc(self.out, size)
            if grown == NULL:
                raise MemoryError
            self.out = grown
            self.out_size = size
        return 0

    def configure(self, settings) -> None:
        """Take the limits and timeouts of clients. Connections see them with their next message."""
        self.settings = settings
        self.secret = settings.cookie_secret
        self.limits = _limits(settings.request_line, settings.head, settings.headers)
        self.answer_limits = _limits(settings.response_head, settings.response_head, MAX_FIELDS)
        self.trailer_limits = _limits(settings.trailers, settings.trailers, settings.headers)
        self.head_timeout = _ns(settings.head_timeout)
        self.keepalive_timeout = _ns(settings.keepalive_timeout)
        self.body_timeout = _ns(settings.body_timeout) or NEVER
        self.write_timeout = _ns(settings.write_timeout) or NEVER
        # Kestrel asks 240 bytes a second of clients too, mod_reqtimeout 500. One byte at least is what the timeouts ask.
        self.body_least = max(<uint64_t> 1, <uint64_t> (settings.client_rate * settings.body_timeout))
        self.write_least = max(<uint64_t> 1, <uint64_t> (settings.client_rate * settings.write_timeout))
        # Each may need an endpoint's connection too: those must never be what finds no descriptor.
        self.max_clients = min(settings.connections, max(1, (self.poller.size - SPARE_DESCRIPTORS) // 2))
        self.max_per_peer = settings.connections_per_client
        self.trusted = [ipaddress.ip_network(network) for network in settings.trusted_proxies]
        self.trust = {}
        self.reserved = [
            name.lower().encode() for tls in settings.tls if tls is not None for _, name in tls.client_headers
        ] or None
        self.reserved_from_strangers = [*(self.reserved or ()), *(n.lower().encode() for n in settings.internal_headers)] or None
        self.via = settings.via.lower().encode() or None
        self.via_1_0, self.via_1_1 = (b"Via: 1.%d %b\r\n" % (minor, settings.via.encode()) for minor in range(2))
        self.via_on_responses = bool(settings.via) and settings.via_on_responses

    cdef bint enter(self, Socket socket, int fd) except -1:
        """Count a client's connection and watch it; it has the time of a head. False: it is counted, but not watched."""
        self.clients += 1
        self.slab.block.connections += 1
        try:
            socket.open(self.poller, fd, EPOLLIN)
        except OSError:
            return False  # the descriptor is closed with its object
        socket.deadline(monotonic() + self.head_timeout)
        return True

    cdef void leave(self) noexcept:
        self.clients -= 1
        self.slab.block.connections -= 1

    cdef bint trusts(self, bytes peer) except -1:
        """Is this address one of the trusted proxies?"""
        if not self.trusted:
            return False
        answer = self.trust.get(peer)
        if answer is None:
            address = ipaddress.ip_address(peer.decode()) if peer else None
            answer = address is not None and any(address in network for network in self.trusted)
            if len(self.trust) >= TRUST_KEPT:
                self.trust.clear()
            self.trust[peer] = answer
        return answer

    def apply(self, snapshot) -> None:
        """Serve from this snapshot. Raises before anything changes when it does not fit together."""
        endpoints = list(self.endpoints.values())
        index = {service.name: i for i, service in enumerate(snapshot.services)}
        router = Router(snapshot.routes, index)
        before = {service.name: service for service in self.services}
        services = [self._service(spec, before.get(spec.name)) for spec in snapshot.services]
        self.router = router
        self.services = services
        self.service_index = index
        self.generation = snapshot.generation
        current = set().union(*map(_slots, snapshot.services))
        for slot in [slot for slot in self.endpoints if slot not in current]:
            self._retire(self.endpoints.pop(slot))
        _dismiss(endpoints)

    def replace(self, int64_t generation, services) -> None:
        """Take new values of some services of the snapshot in force. Raises KeyError for an unknown one."""
        endpoints = list(self.endpoints.values())
        for spec in services:
            at = self.service_index[spec.name]
            old = _slots(self.services[at].spec)
            self.services[at] = self._service(spec, self.services[at])
            for slot in old - _slots(spec):
                self._retire(self.endpoints.pop(slot))
        self.generation = generation
        _dismiss(endpoints)

    def _service(self, spec, before):
        versions = [
            Version(version, spec, [self._endpoint(endpoint) for endpoint in version.endpoints], self.slab)
            for version in spec.versions
        ]
        return Service(spec, versions, self.secret, before)

    def _endpoint(self, spec):
        cdef Endpoint endpoint = self.endpoints.get(spec.slot)
        if endpoint is not None and endpoint.address == spec.address:
            endpoint.apply(spec)
            return endpoint
        if endpoint is not None:
            self._retire(endpoint)
        endpoint = self.endpoints[spec.slot] = Endpoint(self.poller, self.slab, spec)
        return endpoint

    def _retire(self, Endpoint endpoint):
        """It takes nothing new; what it has in flight ends in its own time."""
        endpoint.up = False
        endpoint.close_idle()

    def settle(self, int64_t now, bint second, bint window) -> None:
        """Time has passed: end ejections; each second refill retry budgets; each window begin error shares anew."""
        cdef Endpoint endpoint
        for endpoint in self.endpoints.values():
            if endpoint.ejected_until:
                endpoint.settle(now)
            if window:
                endpoint.recent = endpoint.recent_failures = 0
        if second:
            for service in self.services:
                service.refill()

    def beat(self, int64_t now) -> None:
        """Tell the supervisor, through shared memory, that this worker runs."""
        self.slab.block.heartbeat_ns = now
        self.slab.block.pid = getpid()

    def count_dropped(self, uint64_t lines) -> None:
        """Show how many access log lines were dropped; what an earlier process of this slab dropped stays in."""
        self.slab.block.log_dropped += lines - self.dropped
        self.dropped = lines


def _dismiss(list endpoints):
    """Let those that wait at endpoints which take nothing new go elsewhere; a snapshot is in force by now."""
    cdef Endpoint endpoint
    for endpoint in endpoints:
        if not endpoint.up:
            endpoint.dismiss()


def _slots(spec):
    return {endpoint.slot for version in spec.versions for endpoint in version.endpoints}


cdef Limits _limits(size_t line, size_t head, size_t fields):
    cdef Limits limits
    limits.line = min(line, <size_t> HEAD_MOST)
    limits.head = min(head, <size_t> HEAD_MOST)
    limits.fields = min(fields, <size_t> MAX_FIELDS)
    return limits
