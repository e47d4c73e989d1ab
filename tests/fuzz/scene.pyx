"""The data path between two ends that are no sockets: what is given is read, what is sent is kept.

Owns a worker's plane, one client at a time, and idle connections to one endpoint. Everything between `Client.ready` and the
bytes that leave is the proxy's own code. Must not judge what it sees (requests.py, responses.py).

Rules:
1. Nothing depends on time, chance or the kernel: the same parts give the same bytes.
2. What raises inside the proxy raises here.
3. A scene that does not end is an error: whoever may act has acted, and somebody still waits.
4. Every buffer is exactly as large as its user asked for, so that AddressSanitizer sees the first byte too many.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from proxy.wire.client cimport Client
from proxy.wire.counters cimport Slab
from proxy.wire.exchange cimport Exchange
from proxy.wire.plane cimport Plane
from proxy.wire.poller cimport EPOLLIN, READ_SIZE, Poller, Socket, iovec
from proxy.wire.request cimport ASKING, TUNNEL
from proxy.wire.upstream cimport BUSY, IDLE, Endpoint, Upstream

from proxy.wire.counters import create

cdef extern from "<sys/socket.h>" nogil:
    int AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK
    int new_socket "socket"(int family, int kind, int protocol)

cdef extern from "<sanitizer/asan_interface.h>" nogil:
    void forbid "__asan_poison_memory_region"(const void* at, size_t size)
    void allow "__asan_unpoison_memory_region"(const void* at, size_t size)

cdef enum:
    DESCRIPTORS = 2048
    NO_DESCRIPTOR = 2000    # of a client: no such file is open, so that closing it does nothing
    STEPS_MOST = 100000
    FORBIDDEN = 4096    # bytes behind what was read
    SPARE = 3           # idle connections at the beginning


cdef int _append(bytearray record, iovec* parts, int count) except -2:
    cdef int i
    for i in range(count):
        record += (<unsigned char*> parts[i].iov_base)[:parts[i].iov_len]
    return 0


cdef ssize_t _next(list parts, unsigned char* scratch, unsigned char* into, bint ended) noexcept:
    """Give the next part, as `recv` would. Whoever looks behind it is caught."""
    cdef bytes part
    cdef size_t n
    if not parts:
        return 0 if ended else -2
    part = parts.pop(0)
    n = len(part)
    allow(scratch, into - scratch + n + FORBIDDEN)
    memcpy(into, <const unsigned char*> part, n)
    forbid(into + n, FORBIDDEN)
    return n


cdef class ExactExchange(Exchange):
    """Its buffer has no room that was not asked for."""

    cdef int _reserve(self, size_t more) except -1:
        cdef unsigned char* grown
        if self.buffer != NULL and self.buffer_end + more <= self.buffer_size:
            return 0
        grown = <unsigned char*> PyMem_RawRealloc(self.buffer, self.buffer_end + more)
        if grown == NULL:
            raise MemoryError
        self.buffer = grown
        self.buffer_size = self.buffer_end + more
        return 0


cdef int _quiet() except -1:
    """A descriptor on which nothing ever comes."""
    cdef int fd = new_socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)
    assert 0 <= fd < NO_DESCRIPTOR
    return fd


cdef class NearPoller(Poller):
    """The tables of one, without the kernel behind it."""

    cdef int add(self, int fd, object owner, uint32_t events) except -1:
        self.sockets[fd] = owner
        self.deadlines[fd] = 0
        return 0

    cdef void change(self, int fd, uint32_t events) noexcept:
        pass

    cdef void mute(self, int fd) noexcept:
        pass

    cdef void unmute(self, int fd, uint32_t events) noexcept:
        pass


cdef class NearClient(Client):
    """A client that says these parts, then nothing, or an end."""

    cdef list parts
    cdef bint says_end
    cdef bytearray record
    cdef str ending         # "closed", "reset"; None: open

    cdef ssize_t read(self, unsigned char* into, size_t size) noexcept:
        return _next(self.parts, self.poller.scratch, into, self.says_end)

    cdef int send(self, iovec* parts, int count) except -2:
        assert self.fd >= 0, "sent on a closed connection"
        return _append(self.record, parts, count)

    cdef void end_sending(self) noexcept:
        pass

    cdef void close(self) noexcept:
        if self.ending is None:
            self.ending = "closed"
        Client.close(self)

    cdef void reset(self) noexcept:
        if self.ending is None:
            self.ending = "reset"
        Client.close(self)

    cdef bint may_read(self):
        return self.fd >= 0 and self.interest & EPOLLIN and (self.parts or self.says_end)


cdef class NearUpstream(Upstream):
    """A connection to the endpoint, which says these parts, then nothing, or an end."""

    cdef list parts
    cdef bint says_end
    cdef bytearray record

    cdef ssize_t read(self, unsigned char* into, size_t size) noexcept:
        return _next(self.parts, self.poller.scratch, into, self.says_end)

    cdef int send(self, iovec* parts, int count) except -2:
        assert self.fd >= 0, "sent on a closed connection"
        return _append(self.record, parts, count)

    cdef void end_sending(self) noexcept:
        pass

    cdef void close(self) noexcept:
        if self.fd >= 0:
            self.poller.remove(self.fd)
            self.fd = -1

    cdef bint may_read(self):
        return self.fd >= 0 and self.state == BUSY and self.interest & EPOLLIN and (self.parts or self.says_end)


cdef class Scene:
    """A worker without a process, serving one service at one endpoint. `snapshot` has it at slot 1."""

    cdef Plane plane
    cdef list descriptors   # of connections to the endpoint
    cdef list upstreams
    cdef NearClient client

    def __init__(self, settings, snapshot):
        self.descriptors = [_quiet() for _ in range(SPARE)]
        self.plane = Plane(NearPoller(DESCRIPTORS, _ignore), Slab(create(1, 4, 4), 0))
        self.plane.configure(settings)
        self.plane.apply(snapshot)

    cdef int _begin(self, list parts) except -1:
        cdef Endpoint endpoint = <Endpoint> self.plane.endpoints[1]
        cdef NearUpstream upstream
        cdef int i
        endpoint.close_idle()
        self.plane.random = 1  # X-Request-Id
        PyMem_RawFree(self.plane.out)
        self.plane.out = NULL
        self.plane.out_size = 0
        self.plane.spare = [ExactExchange(self.plane)]
        allow(self.plane.poller.scratch, READ_SIZE)
        self.upstreams = []
        for i in range(SPARE):
            upstream = NearUpstream.__new__(NearUpstream)
            upstream.endpoint = endpoint
            upstream.state = IDLE
            upstream.era = endpoint.era
            upstream.parts = []
            upstream.record = bytearray()
            upstream.open(self.plane.poller, self.descriptors[i], EPOLLIN)
            endpoint.block.connections += 1
            endpoint.idle.append(upstream)
            self.upstreams.insert(0, upstream)
        self.client = NearClient.__new__(NearClient)
        self.client.parts = list(parts)
        self.client.record = bytearray()
        self.client.peer = b""
        self.plane.peers[b""] = 1
        self.client.start(self.plane, NO_DESCRIPTOR)
        return 0

    cdef bint _step(self, bytes answer) except -1:
        """Let one end read; an upstream that was asked gets `answer` to say. False: nobody can."""
        cdef NearUpstream upstream
        for upstream in self.upstreams:
            if upstream.may_read():
                upstream.ready(EPOLLIN)
                return True
            if answer is not None and upstream.state == BUSY and self.client.exchange is not None \
                    and self.client.exchange.upstream is upstream and self.client.exchange.request_done \
                    and self.client.exchange.stage == ASKING:
                upstream.parts.append(answer)
                return True
        if self.client.may_read():
            self.client.ready(EPOLLIN)
            return True
        return False

    cdef int _run(self, bytes answer) except -1:
        cdef int i
        for i in range(STEPS_MOST):
            if not self._step(answer):
                return 0
        raise AssertionError("no end")

    def request(self, list parts, bytes answer):
        """Send the parts and then an end. Each request that arrives whole is answered with `answer`.

        Returns what the client got, how its connection ended, and what each connection to the endpoint brought.
        """
        self._begin(parts)
        self.client.says_end = True
        self._run(answer)
        return self._result()

    def response(self, bytes request, list parts):
        """Send the request, answer with the parts and an end; then the client ends. Returns as `request`."""
        cdef NearUpstream upstream
        self._begin([request])
        while self.client.may_read():
            self.client.ready(EPOLLIN)
        for upstream in self.upstreams:
            upstream.reused = False
            if upstream.state == BUSY:
                upstream.parts = list(parts)
                upstream.says_end = True
        self._run(None)
        self.client.says_end = True
        self._run(None)
        return self._result()

    def _result(self):
        cdef Endpoint endpoint = <Endpoint> self.plane.endpoints[1]
        cdef NearUpstream upstream
        assert self.client.fd < 0, f"left open: {self.client!r}"
        assert endpoint.in_flight == 0 and endpoint.block.in_flight == 0, "an attempt that did not end"
        assert self.plane.slab.block.tunnels == 0, "a tunnel that did not end"
        assert self.plane.clients == 0 and not self.plane.peers
        for upstream in self.upstreams:
            assert upstream.fd < 0 or upstream.state == IDLE, "a connection that nobody uses"
        return bytes(self.client.record), self.client.ending, [bytes((<NearUpstream> one).record) for one in self.upstreams]


def _ignore(now):
    pass
