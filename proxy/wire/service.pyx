"""A service as one snapshot has it: which version the next request gets, and with what limits.

Owns the choice of a version. Must not touch sockets or heads: a request is seen through a `RequestView`.

Rules:
1. Fixed once made, but for what the choice itself counts (the splitter's credits, the retry budget, which the next
   snapshot's service takes over): an exchange keeps the one that it began with.
2. Pool mode and a weight of everything need neither key nor sequence: 0 and 100 % are exact.
3. The key chain: the first source that gives a key decides. `own-cookie` always does: who has no valid cookie gets a new
   key and is answered with it, so that the second request already finds the same version.
4. Without any key a request is split like one of a service without stickiness.
"""

from os import urandom

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from proxy.core.hashing cimport mix, rendezvous, siphash
from proxy.core.splitting cimport Splitter
from proxy.wire.http1 cimport hex_value

from proxy.core.hashing import name_hash
from proxy.core.outcome import Outcome
from proxy.core.splitting import Splitter as make_splitter

cdef enum:
    MAX_VERSIONS = 64
    KEY_DIGITS = 16

cdef enum Kind:
    HEADER
    COOKIE
    OWN_COOKIE
    IP

cdef dict KINDS = {"header": HEADER, "cookie": COOKIE, "own-cookie": OWN_COOKIE, "ip": IP}


cdef int64_t _ns(double seconds):
    return <int64_t> (seconds * 1e9)


cdef list _sources(keys):
    return [(KINDS[source.kind], source.name.encode()) for source in keys]


cdef class Service:
    """`before`: the same service of the snapshot before, whose counts go on. Raises ValueError over 64 versions."""

    def __init__(self, spec, list versions, bytes secret, Service before):
        cdef int i
        if not 0 < len(versions) <= MAX_VERSIONS:
            raise ValueError(f"service {spec.name} has {len(versions)} versions; 1 to {MAX_VERSIONS} are possible")
        self.spec = spec
        self.name = spec.name
        self.name_bytes = spec.name.encode()
        self.versions = versions
        self.count = len(versions)
        positive = [i for i in range(self.count) if spec.weights[i] > 0]
        self.whole = positive[0] if len(positive) == 1 else -1
        self.fallback = spec.fallback
        self.fallback_on_error = spec.fallback_on_error
        self.stable = spec.stable
        for i in range(self.count):
            self.weights[i] = spec.weights[i]
            self.names[i] = name_hash(versions[i].name.encode())
        self._take_over(spec, before)
        memcpy(self.salt, <const unsigned char*> <bytes> spec.salt, 16)
        memcpy(self.secret, <const unsigned char*> secret, 16)
        self.balance_keys = _sources(spec.balance_key)
        if spec.sticky is not None:
            self.keys = _sources(spec.sticky.keys)
            self.cookie_name = spec.sticky.cookie.encode()
            lifetime = f"; Max-Age={spec.sticky.cookie_max_age}" if spec.sticky.cookie_max_age else ""
            self.cookie_tail = f"{lifetime}{spec.sticky.cookie_attributes}\r\n".encode()
            secure = "; Secure" if spec.sticky.secure_over_tls else ""
            self.cookie_tail_tls = f"{lifetime}{spec.sticky.cookie_attributes}{secure}\r\n".encode()
        self.connect = _ns(spec.timeouts.connect)
        self.response = _ns(spec.timeouts.response)
        self.idle = _ns(spec.timeouts.idle)
        self.total = _ns(spec.timeouts.total)
        self.wait = _ns(spec.timeouts.queue)
        self.tunnel = _ns(spec.timeouts.tunnel)
        self.body_limit = spec.body_limit
        self.retry_attempts = spec.retries.attempts
        self.retry_budget = spec.retries.budget
        self.retry_buffer = spec.retries.buffer
        for outcome in Outcome:
            if outcome.label in spec.retries.on:
                self.retry_on |= 1 << int(outcome)
        self.websocket = "websocket" in spec.upgrades
        self.own_cookies = spec.own_cookies
        self.random = int.from_bytes(urandom(8), "little")

    def _take_over(self, spec, Service before):
        cdef Version one
        turns = {one.name: one.turn for one in before.versions} if before is not None else {}
        for one in self.versions:
            one.turn = turns.get(one.name, 0)
        names = [version.name for version in spec.versions]
        if before is not None and [version.name for version in before.spec.versions] == names:
            self.splitter = before.splitter
            self.splitter.reweigh(spec.weights)
        else:
            self.splitter = make_splitter(spec.weights, int.from_bytes(urandom(4), "little"))
        self.tokens = before.tokens if before is not None else spec.retries.budget_min

    def refill(self) -> None:
        """Called once a second: a quiet service may retry too."""
        if self.tokens < self.spec.retries.budget_min:
            self.tokens = self.spec.retries.budget_min

    cdef int choose(self, RequestView view, bytes peer, Decision* decision) except -1:
        """Decide on a version for one request."""
        cdef uint64_t hashed
        decision.choice = BY_WEIGHT
        self.find_ring_key(view, peer, decision)
        if self.keys is not None and (self.whole < 0 or not decision.key):
            if self._key(self.keys, view, peer, decision, &hashed):
                if not decision.key:
                    decision.key = hashed
                if self.whole < 0:
                    decision.version = rendezvous(hashed, self.names, self.weights, self.count)
                    decision.choice = BY_KEY
                    return 0
        decision.version = self.whole if self.whole >= 0 else self.splitter.choose()
        return 0

    cdef int find_ring_key(self, RequestView view, bytes peer, Decision* decision) except -1:
        """The part of a decision that an endpoint's ring needs, whichever version is chosen."""
        decision.mint = False
        decision.key = 0
        if self.balance_keys:
            self._key(self.balance_keys, view, peer, decision, &decision.key)
        return 0

    cdef bint _key(self, list keys, RequestView view, bytes peer, Decision* decision, uint64_t* hashed) except -1:
        """The hash of the first key that the request has; sets `mint` when it is a new one."""
        cdef bytes value
        for kind, name in keys:
            if kind == HEADER:
                value = view.header(name)
            elif kind == COOKIE:
                value = view.cookie(name)
            elif kind == IP:
                value = peer
            else:
                value = self.verified(view.cookie(self.cookie_name)) if self.cookie_name is not None else None
                if value is None:
                    if not decision.mint:
                        self.random = mix(self.random)
                        decision.minted = self.random
                        decision.mint = True
                    value = b"%016x" % decision.minted
            if value:
                hashed[0] = siphash(self.salt, value, len(value))
                return True
        return False

    def cookie(self, uint64_t key) -> bytes:
        """The value of the cookie that carries a key: the key and its signature under the proxy's secret."""
        text = b"%016x" % key
        return b"%s.%016x" % (text, <uint64_t> siphash(self.secret, text, KEY_DIGITS))

    def verified(self, bytes value) -> bytes | None:
        """The key in a cookie of ours, None when it is none or was made by somebody else."""
        cdef uint64_t signature = 0
        cdef int i
        if value is None or len(value) != 2 * KEY_DIGITS + 1 or value[KEY_DIGITS] != 46:
            return None
        for i in range(KEY_DIGITS):
            digit = hex_value(value[KEY_DIGITS + 1 + i])
            if digit < 0:
                return None
            signature = signature << 4 | <uint64_t> digit
        key = value[:KEY_DIGITS]
        return key if signature == siphash(self.secret, key, KEY_DIGITS) else None
