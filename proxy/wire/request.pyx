"""A request on its way: its head as forwarded, its body, and what is kept of both in case they must be sent again.

Owns the request from its scanned head to its last byte. Must not choose where it goes (asking.pyx) or read answers.

Rules:
1. The head is written once, into `buffer`, with the version's line where it can be replaced; body bytes follow it as long
   as all of it fits what the service keeps for a retry.
2. The body is framed anew: by its announced length, or in chunks of what one read brought.
3. When the upstream does not take it, the client is not read; before there is an upstream, one read is kept.
4. A body comes without long pauses, and at a least rate. The rate is looked at when a deadline passes, over the time in
   which it was the client's turn without a break: what comes costs no more than the deadline of the pause did.
5. Of a head whose Connection names fields, no trailers pass: they may be among the named (RFC 9110 section 7.6.1), and the
   names are gone by then. In the other direction the same holds.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from proxy.wire.chunked cimport chunked_feed, chunked_start
from proxy.wire.fields cimport scan_trailers
from proxy.wire.forward cimport request_room, write_framing, write_hex, write_request, write_trailers
from proxy.wire.http1 cimport COMPLETE, M_DELETE, M_GET, M_HEAD, M_OPTIONS, M_PUT, Bytes, Head, is_target
from proxy.wire.plane cimport Plane
from proxy.wire.poller cimport EPOLLIN, iovec, monotonic
from proxy.wire.reserved cimport drop_reserved
from proxy.wire.upstream cimport Taker
from proxy.wire.version cimport Version

from proxy.core.outcome import Reason

cdef int BAD_BODY = int(Reason.BAD_BODY)
cdef int BODY_TOO_LARGE = int(Reason.BODY_TOO_LARGE)

cdef enum:
    BUFFER_KEPT = 16384     # of a spare exchange
    ID_MOST = 64
    FRAMING_MOST = 64       # what write_framing writes


cdef class Request(Taker):

    def __init__(self, Plane plane):
        self.plane = plane

    def __dealloc__(self):
        PyMem_RawFree(self.buffer)

    # Beginning

    cdef void _reset(self, Downstream client, int64_t now) noexcept:
        cdef Head* head = &self.plane.head
        self.client = client
        self.service = None
        self.version = None
        self.endpoint = self.avoid = None
        self.upstream = None
        self.stage = WAITING
        self.attempting = False
        self.began = now
        self.attempt_total = 0
        self.total_at = 0
        self.ring_key = 0
        if self.buffer_size > BUFFER_KEPT:
            PyMem_RawFree(self.buffer)
            self.buffer = NULL
            self.buffer_size = 0
        self.buffer_end = self.version_at = self.version_len = 0
        self.method = head.method
        self.minor = head.minor
        self.keep_alive = head.keep_alive
        self.expects = head.expect_continue
        self.websocket = False
        self.wants_json = head.accepts_json
        self.replayable = True
        self.request_done = self.request_dropped = False
        self.request_framing = NO_BODY
        self.request_left = self.request_bytes = 0
        self.rate_until = 0
        self.status = self.reason = self.retries = self.choice = self.interims = 0
        self.counted = self.drains = False
        self.closing = self.plane.draining or self.plane.keepalive_timeout == 0
        self.upstream_keeps = True
        self.answer_framing = NO_BODY
        self.raw = False
        self.answer_left = self.answer_bytes = 0
        self.cookie_line = None
        self.tunnel_client_done = self.tunnel_upstream_done = False
        self.id_len = 0
        self.log_head = None

    cdef size_t begin(self, Downstream client, Bytes p, size_t n, int64_t now) except? 0:
        """Take the request whose head was scanned into plane.head; `p` holds it and n bytes in all. Returns the bytes used."""
        cdef Head* head = &self.plane.head
        cdef size_t used = head.end
        self._reset(client, now)
        self._identify(p)
        reserved = self.plane.reserved if client.origin.trusted else self.plane.reserved_from_strangers
        if reserved is not None:
            drop_reserved(p, head, reserved)
        if self.plane.log is not None:
            self._keep_for_log(p)
        if head.chunked:
            self.request_framing = BY_CHUNKS
            chunked_start(&self.request_chunks)
            self.request_trailers = not head.named
        elif head.content_length > 0:
            self.request_framing = BY_LENGTH
            self.request_left = <uint64_t> head.content_length
        else:
            self.request_done = True
        self._route(p)
        if self.stage == ENDED:
            return used
        self._write_head(p)
        if not self.request_done:
            if n > used:
                used += self.feed(<unsigned char*> p + used, n - used)
                if self.stage == ENDED:
                    return used
            else:
                self._await_body()
        self._attempt()
        return used

    cdef int _identify(self, Bytes p) noexcept:
        """Keep the client's X-Request-Id when it is short and visible, else make one: 128 random bits."""
        cdef Head* head = &self.plane.head
        cdef uint32_t i
        cdef uint32_t at
        cdef uint64_t bits
        if p != NULL and head.request_id_at >= 0:
            at = head.fields[head.request_id_at].value
            self.id_len = head.fields[head.request_id_at].value_len
            if 0 < self.id_len <= ID_MOST:
                for i in range(self.id_len):
                    if not is_target(p[at + i]) or p[at + i] == 34 or p[at + i] == 92:
                        break
                else:
                    memcpy(self.request_id, p + at, self.id_len)
                    return 0
        for at in range(2):
            bits = self.plane.next_random()
            for i in range(16):
                self.request_id[16 * at + i] = b"0123456789abcdef"[(bits >> (4 * i)) & 15]
        self.id_len = 32
        return 0

    cdef int _keep_for_log(self, Bytes p) except -1:
        """Copy what the access log wants of the head: pairs of offset and length into `log_head`."""
        cdef Head* head = &self.plane.head
        cdef int which[3]
        cdef int i
        self.log_head = p[:head.end]
        self.log_parts[0] = 0
        self.log_parts[1] = head.method_len
        self.log_parts[2] = head.target
        self.log_parts[3] = head.path_len
        self.log_parts[4] = head.target + head.path_len
        self.log_parts[5] = head.target_len - head.path_len
        self.log_parts[6] = head.authority
        self.log_parts[7] = head.authority_len
        which[0] = head.agent_at
        which[1] = head.referer_at
        which[2] = head.trace_at
        for i in range(3):
            self.log_parts[8 + 2 * i] = head.fields[which[i]].value if which[i] >= 0 else 0
            self.log_parts[9 + 2 * i] = head.fields[which[i]].value_len if which[i] >= 0 else 0
        return 0

    cdef int _write_head(self, Bytes p) except -1:
        cdef Head* head = &self.plane.head
        cdef Version version = self.version
        self._reserve(request_room(head, &self.client.origin) + len(version.request_line))
        self.version_at = write_request(self.buffer, p, head, &self.client.origin, self.request_id, self.id_len,
                                        self.websocket, self.service.own_cookies)
        self.version_len = len(version.request_line)
        memcpy(self.buffer + self.version_at, <const char*> version.request_line, self.version_len)
        self.buffer_end = self.version_at + self.version_len
        if self.client.identity is not None:
            self._add_line(self.client.identity)
        if self.plane.via is not None:
            self._add_line(self.plane.via_1_1 if head.minor else self.plane.via_1_0)
        self.buffer_end += write_framing(self.buffer + self.buffer_end, head)
        return 0

    cdef int _add_line(self, bytes line) except -1:
        self._reserve(len(line) + FRAMING_MOST)
        memcpy(self.buffer + self.buffer_end, <const char*> line, len(line))
        self.buffer_end += len(line)
        return 0

    cdef int _use_version(self, Version version) except -1:
        """Go to another version: its line replaces the old one in the kept request."""
        cdef size_t length = len(version.request_line)
        self._reserve(length)
        memmove(self.buffer + self.version_at + length, self.buffer + self.version_at + self.version_len,
                self.buffer_end - self.version_at - self.version_len)
        memcpy(self.buffer + self.version_at, <const char*> version.request_line, length)
        self.buffer_end = self.buffer_end + length - self.version_len
        self.version_len = length
        self.version = version
        return 0

    cdef int _reserve(self, size_t more) except -1:
        cdef unsigned char* grown
        cdef size_t size = self.buffer_size if self.buffer_size else 2048
        if self.buffer != NULL and self.buffer_end + more <= self.buffer_size:
            return 0
        while size < self.buffer_end + more:
            size *= 2
        grown = <unsigned char*> PyMem_RawRealloc(self.buffer, size)
        if grown == NULL:
            raise MemoryError
        self.buffer = grown
        self.buffer_size = size
        return 0

    # The body

    cdef size_t feed(self, unsigned char* p, size_t n) except? 0xffffffff:
        """Take bytes of the request's body; returns how many. The rest must come again with more, or is the next request."""
        cdef unsigned char* data = p
        cdef size_t used = 0
        cdef size_t size = 0
        cdef int answer
        cdef iovec parts[3]
        cdef unsigned char digits[24]
        cdef int count = 0
        if self.request_framing == BY_LENGTH:
            size = used = n if n < self.request_left else <size_t> self.request_left
            self.request_left -= size
            self.request_bytes += size
            self.request_done = self.request_left == 0
            parts[0] = part_of(p, size)
            count = 1
        else:
            answer = chunked_feed(&self.request_chunks, p, n, &used, &data, &size)
            self.request_bytes += size
            if answer == COMPLETE:
                answer = scan_trailers(p + used, n - used, &self.plane.trailer_limits, &self.plane.answer)
                self.request_done = answer == COMPLETE
            if answer > 0:
                self.closing = True
                self.answer_fault(BAD_BODY)
                return n
            if self.service.body_limit and self.request_bytes > <uint64_t> self.service.body_limit:
                self.closing = True
                self.answer_fault(BODY_TOO_LARGE)
                return n
            if size:
                answer = <int> write_hex(digits, size)
                memcpy(digits + answer, b"\r\n", 2)
                parts[0] = part_of(digits, answer + 2)
                parts[1] = part_of(data, size)
                parts[2] = part_of(b"\r\n", 2)
                count = 3
            if self.request_done:
                return used + self._end_chunks(p + used, parts, count)
        self._await_body()
        if size or self.request_done:
            self._forward(parts, count)
        return used

    cdef size_t _end_chunks(self, unsigned char* p, iovec* parts, int count) except? 0xffffffff:
        """The last chunk and the trailers that pass; returns the size of the trailer section."""
        cdef size_t section = self.plane.answer.end
        cdef iovec all[4]
        cdef int i
        cdef size_t n
        self.plane.room(section + 8)
        memcpy(self.plane.out, b"0\r\n", 3)
        n = 3
        reserved = self.plane.reserved if self.client.origin.trusted else self.plane.reserved_from_strangers
        if reserved is not None:
            drop_reserved(p, &self.plane.answer, reserved)
        if self.request_trailers:
            n += write_trailers(self.plane.out + 3, p, &self.plane.answer)
        memcpy(self.plane.out + n, b"\r\n", 2)
        for i in range(count):
            all[i] = parts[i]
        all[count] = part_of(self.plane.out, n + 2)
        self._await_body()
        self._forward(all, count + 1)
        return section

    cdef void _await_body(self) noexcept:
        """Until when the client must send more of the body: it may be somebody else's turn."""
        if self.client.pending_end or self._is_queued():
            self.rate_until = 0
            return  # what it must do first has its own deadline
        if self.request_done or not self.client.interest & EPOLLIN or self.expects and self.request_bytes == 0:
            self.rate_until = 0
            self.client.deadline(0)
        else:
            self._await_bytes(monotonic())

    cdef void _await_bytes(self, int64_t now) noexcept:
        self.body_until = now + self.plane.body_timeout
        if self.rate_until == 0:
            self.rate_until = self.body_until
            self.rate_from = self.request_bytes
        self.client.deadline(min(self.body_until, self.rate_until))

    cdef bint _is_fast_enough(self, int64_t now) noexcept:
        """The client's deadline has passed: may the body go on? If so, its next time has begun."""
        if self.body_until <= self.rate_until or self.rate_until == 0 \
                or self.request_bytes - self.rate_from < self.plane.body_least:
            return False
        self.body_until += now - self.rate_until  # the poller puts deadlines off
        self.rate_until = now + self.plane.body_timeout
        self.rate_from = self.request_bytes
        self.client.deadline(min(self.body_until, self.rate_until))
        return True

    cdef bint _is_queued(self) noexcept:
        return self.stage == WAITING and self.endpoint is not None and not self.attempting

    cdef int _append(self, iovec* parts, int count) except -1:
        cdef int i
        for i in range(count):
            self._reserve(parts[i].iov_len)
            memcpy(self.buffer + self.buffer_end, parts[i].iov_base, parts[i].iov_len)
            self.buffer_end += parts[i].iov_len
        return 0

    cdef int _forward(self, iovec* parts, int count) except -1:
        """Send body bytes on, or keep them until there is a connection."""
        cdef int sent
        cdef int i
        cdef size_t size = 0
        if self.stage == WAITING:
            if not self.request_done:
                self.client.pause()
                self._await_body()
            return self._append(parts, count)
        if self.request_dropped or self.upstream is None:
            self.replayable = False
            return 0
        if self.replayable:
            for i in range(count):
                size += parts[i].iov_len
            if self.buffer_end + size <= self.service.retry_buffer:
                self._append(parts, count)
            else:
                self.replayable = False
        sent = self.upstream.send(parts, count)
        if sent < 0:
            # It reads no more; what it has to say is still to be read.
            self.request_dropped = True
            self.client.resume()
            return 0
        if sent:
            # The endpoint's turn: the client may not send now, so it cannot be late.
            self.client.pause()
            self._await_body()
            self.upstream.deadline(self._until(monotonic(), self.service.idle))
        elif self.request_done and self.stage == ASKING:
            self._await_answer(monotonic())
        return 0

    cdef int64_t _until(self, int64_t now, int64_t timeout) noexcept:
        """The deadline of a wait that begins now, within that of the whole exchange; 0: none."""
        cdef int64_t at = now + timeout if timeout else 0
        if self.total_at and (at == 0 or self.total_at < at):
            return self.total_at
        return at

    cdef bint _is_idempotent(self) noexcept:
        return self.method in (M_GET, M_HEAD, M_PUT, M_DELETE, M_OPTIONS)

    # What the other half of the exchange does: the classes further down the chain say how (exchange.pyx is its end)

    cdef int _route(self, Bytes p) except -1:
        """Find the service and choose the version; answers the request itself where there is none."""
        return 0

    cdef int _attempt(self) except -1:
        """Choose an endpoint and send the request there, or wait for one, or answer that there is none."""
        return 0

    cdef void _await_answer(self, int64_t now) noexcept:
        """All that there is was sent: the endpoint's turn."""

    cdef int answer_fault(self, int reason) except -1:
        """Answer in the upstream's place."""
        return 0
