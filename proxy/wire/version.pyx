"""Which endpoint of a version takes the next request.

Owns the choice among usable endpoints, slow start, and how many may be ejected at once.

Rules:
1. Fixed once made, but for `usable`: the next snapshot makes another one over the same endpoints.
2. At most `eject_most` of the endpoints are ejected at once, never the only one. Below the share `panic` of well ones
   among those that are up, health is ignored: all that are up are used (Envoy's panic threshold).
3. A cold endpoint takes a share of its turns that grows with its age; it never waits for others to be cold too.
"""

from bisect import bisect_left
from os import urandom

from libc.stdint cimport int64_t, uint64_t

from proxy.core.hashing cimport mix, siphash
from proxy.wire.counters cimport Slab
from proxy.wire.upstream cimport Endpoint, Policy

from proxy.wire.contexts import client_context, host_of
from proxy.wire.tls_upstream import secured

cdef dict BALANCES = {"least-request": 0, "round-robin": 1, "hash": 2}

cdef enum:
    ROUND_ROBIN = 1
    BY_HASH = 2
    RING_POINTS = 128       # an endpoint: its share of keys is then within about 10 %

cdef double RARELY = 0.1    # the least share of its turns that an endpoint gets in its slow start


cdef class Version(Policy):
    """What a snapshot says of one version, over the endpoints that stay. Fixed once made, but for `usable`."""

    def __init__(self, spec, service, list endpoints, Slab slab):
        cdef Endpoint endpoint
        self.name = spec.name
        self.name_bytes = spec.name.encode()
        self.slot = spec.slot
        self.block = slab.version(spec.slot)
        self.endpoints = endpoints
        self.request_line = b"X-Serinus-Version: " + self.name_bytes + b"\r\n"
        self.response_line = self.request_line if service.expose_version else b""
        self.balance = BALANCES[service.balance]
        self.random = int.from_bytes(urandom(8), "little")
        self.slow_start = <int64_t> (service.slow_start * 1e9)
        self.limit = spec.max_connections
        self.queue = spec.queue
        self.pool_idle = service.pool_idle
        self.fresh_after = <int64_t> (service.fresh_after * 1e9)
        self.keepalive = <int64_t> (service.timeouts.keepalive * 1e9)
        if service.ejection is not None:
            self.eject_consecutive = service.ejection.consecutive
            self.eject_share = service.ejection.error_share
            self.eject_minimum = service.ejection.min_requests
            self.eject_time = <int64_t> (service.ejection.base_time * 1e9)
            self.eject_longest = <int64_t> (service.ejection.max_time * 1e9)
            self.eject_most = service.ejection.max_share
            self.panic = service.ejection.panic
        context = client_context(spec.tls) if spec.tls is not None else None
        for endpoint in endpoints:
            endpoint.policy = self
            endpoint.secure(context, spec.tls.server_name or host_of(endpoint.address) if spec.tls else "", secured)
            if service.ejection is None and endpoint.ejected_until:
                endpoint.pardon()
        if self.balance == BY_HASH:
            self.ring = sorted(
                ((siphash(b"serinus endpoint", name, len(name)), endpoint)
                 for endpoint in endpoints
                 for name in ((<Endpoint> endpoint).name + b"#%d" % point for point in range(RING_POINTS))),
                key=lambda pair: pair[0])
        self.refresh()

    cdef void refresh(self):
        """Find the usable endpoints anew: after a change of state, health or ejection."""
        cdef Endpoint endpoint
        cdef list up = [endpoint for endpoint in self.endpoints if (<Endpoint> endpoint).up]
        cdef list well = [endpoint for endpoint in up
                          if (<Endpoint> endpoint).healthy and not (<Endpoint> endpoint).ejected_until]
        # An endpoint that active checks found down is only used in a panic among others that are up.
        self.usable = well if not well or len(well) >= self.panic * len(up) else up

    cdef void eject(self, Endpoint endpoint, int64_t now):
        cdef Endpoint other
        cdef int out = 0
        for other in self.endpoints:
            out += other.ejected_until != 0
        if len(self.endpoints) == 1 or out + 1 > self.eject_most * len(self.endpoints):
            return
        endpoint.ejections += 1
        endpoint.ejected_until = now + min(self.eject_time * endpoint.ejections, self.eject_longest)
        endpoint.block.ejections += 1
        endpoint.block.ejected = 1
        self.refresh()

    cdef Endpoint pick(self, Endpoint avoid, uint64_t key, int64_t now):
        """An endpoint for one more request, and not `avoid`; None when there is none. `key` 0: it has none.

        One with room if any has; else the caller waits in the queue of the one that it gets.
        """
        cdef Endpoint chosen = self._pick(avoid, key, now)
        cdef Endpoint other
        if chosen is None or self.limit == 0 or chosen.in_flight < self.limit or self.balance == BY_HASH and key:
            return chosen
        for other in self.usable:
            if other is not avoid and (other.in_flight, len(other.waiting)) < (chosen.in_flight, len(chosen.waiting)):
                chosen = other
        return chosen

    cdef bint has_other(self, Endpoint than):
        """Is there a usable endpoint besides this one? Exchanges ask this long after their snapshot was the newest."""
        self.refresh()
        return len(self.usable) > 1 or len(self.usable) == 1 and self.usable[0] is not than

    cdef Endpoint _pick(self, Endpoint avoid, uint64_t key, int64_t now):
        cdef list usable = self.usable
        cdef int n = len(usable)
        cdef Endpoint a
        cdef Endpoint b
        cdef int i
        if n <= 1:
            return usable[0] if n and usable[0] is not avoid else None
        if self.balance == BY_HASH and key:
            return self._on_ring(avoid, key)
        if self.balance == ROUND_ROBIN:
            for i in range(n):
                self.turn = (self.turn + 1) % n
                a = <Endpoint> usable[self.turn]
                if a is not avoid and self._is_due(a, now):
                    return a
        # The less loaded of two at random (Mitzenmacher 2001).
        self.random = mix(self.random)
        i = <int> ((self.random & 0xffffffff) * <uint64_t> n >> 32)
        a = <Endpoint> usable[i]
        b = <Endpoint> usable[(i + 1 + <int> ((self.random >> 32) * <uint64_t> (n - 1) >> 32)) % n]
        if a is avoid:
            return b
        if b is avoid:
            return a
        if not self._is_due(a, now):
            return b
        if not self._is_due(b, now):
            return a
        return a if a.in_flight <= b.in_flight else b

    cdef bint _is_due(self, Endpoint endpoint, int64_t now):
        """A cold endpoint takes a share of its turns that grows with its age."""
        cdef double age
        if self.slow_start == 0 or endpoint.warm_from == 0:
            return True
        age = <double> (now - endpoint.warm_from) / <double> self.slow_start
        if age >= 1:
            return True
        self.random = mix(self.random)
        return <double> (self.random >> 11) / 9007199254740992.0 < max(age, RARELY)

    cdef Endpoint _on_ring(self, Endpoint avoid, uint64_t key):
        """The first usable endpoint at or after the key's point: only keys of an endpoint that goes move (Karger 1997)."""
        cdef Endpoint endpoint
        cdef int n = len(self.ring)
        cdef int i = bisect_left(self.ring, key, key=lambda pair: pair[0])
        cdef int k
        for k in range(n):
            endpoint = <Endpoint> self.ring[(i + k) % n][1]
            if endpoint is not avoid and endpoint in self.usable:
                return endpoint
        return None
