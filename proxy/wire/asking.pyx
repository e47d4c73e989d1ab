"""The request half of an exchange: route, version, endpoint, the head as forwarded, the body, attempts and retries.

Owns the request from its scanned head to its last byte, and every attempt to have it answered. Must not read responses
(exchange.pyx) or client sockets (client.pyx).

Rules:
1. An exchange keeps the Service and Version that it began with: one snapshot for all of it.
2. What is sent again must be safe: nothing was sent, or the method is idempotent and all of the request is kept
   (RFC 9110 section 9.2.2). A connection that was idle and ends without a byte of answer is such a case at once, on a new
   connection, as part of the same attempt: the race with the endpoint's own idle timeout is nobody's failure.
3. Every attempt ends in exactly one outcome, counted against the version that it was sent to.
4. `finish` and what ends in it come last: the exchange may serve another request right afterwards.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from proxy.core.routing cimport Rule
from proxy.wire.chunked cimport chunked_feed, chunked_start
from proxy.wire.counters cimport attempt_ended, attempt_started, request_ended
from proxy.wire.forward cimport request_room, write_framing, write_hex, write_request, write_trailers
from proxy.wire.http1 cimport (
    COMPLETE, M_DELETE, M_GET, M_HEAD, M_OPTIONS, M_OTHER, M_PUT, MORE, Bytes, Head, is_target, same_text, scan_trailers,
)
from proxy.wire.poller cimport EPOLLIN, is_quiet, iovec, monotonic
from proxy.wire.service cimport BY_FALLBACK, BY_FORCE, BY_HEADER, Decision, Service
from proxy.wire.upstream cimport BUSY, Endpoint, Upstream, Version

from proxy.core.faults import render
from proxy.core.outcome import FAULTS, Outcome, Reason
from proxy.core.routing import normalise

cdef int CONNECT_ERROR = int(Outcome.CONNECT_ERROR)
cdef int RESET = int(Outcome.RESET)
cdef int UNAVAILABLE = int(Outcome.UNAVAILABLE)
cdef int ABORTED = int(Outcome.ABORTED)
cdef int FIVE_XX = int(Outcome.FIVE_XX)
cdef int BAD_REQUEST = int(Reason.BAD_REQUEST)
cdef int BAD_BODY = int(Reason.BAD_BODY)
cdef int BODY_TOO_LARGE = int(Reason.BODY_TOO_LARGE)
cdef int NO_ROUTE = int(Reason.NO_ROUTE)
cdef int NO_ENDPOINT = int(Reason.NO_ENDPOINT)
cdef int QUEUE_FULL = int(Reason.QUEUE_FULL)
cdef int CONNECT_REFUSED = int(Reason.CONNECT_REFUSED)
cdef int CONNECT_TIMEOUT = int(Reason.CONNECT_TIMEOUT)
cdef int CONNECT_FAILED = int(Reason.CONNECT_FAILED)
cdef int CLIENT_CLOSED = int(Reason.CLIENT_CLOSED)
cdef int UPSTREAM_RESET = int(Reason.UPSTREAM_RESET)
cdef int INTERNAL = int(Reason.INTERNAL)
cdef int ECONNREFUSED = 111

cdef int STATUS[64]
for _reason in Reason:
    STATUS[int(_reason)] = FAULTS[_reason].status

cdef enum:
    BUFFER_KEPT = 16384     # of a spare exchange
    ID_MOST = 64
    TOKENS_MOST = 100


cdef class Downstream(Socket):
    """The client's side, as an exchange sees it."""

    cdef void pause(self) noexcept:
        self.want(self.interest & ~EPOLLIN)

    cdef void resume(self) noexcept:
        self.want(self.interest | EPOLLIN)

    cdef int exchange_ended(self, bint keep, bint linger) except -1:
        """The exchange is over. `keep`: the connection may go on; `linger`: the client may still be sending."""
        return 0

    cdef int switched(self) except -1:
        """The exchange became a tunnel: what the client sent ahead goes into it."""
        return 0


cdef inline iovec _part(const void* text, size_t n) noexcept:
    cdef iovec part
    part.iov_base = <void*> text
    part.iov_len = n
    return part


cdef class Asking(Taker):

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
        self.websocket = self.wants_json = False
        self.replayable = True
        self.request_done = self.request_dropped = False
        self.request_framing = NO_BODY
        self.request_left = self.request_bytes = 0
        self.status = self.reason = self.retries = self.choice = self.interims = 0
        self.counted = self.drains = False
        self.closing = self.plane.draining
        self.upstream_keeps = True
        self.answer_framing = NO_BODY
        self.raw = False
        self.answer_left = self.answer_bytes = 0
        self.cookie_line = None
        self.tunnel_client_done = self.tunnel_upstream_done = False
        self.id_len = 0
        self.log_head = None

    cdef int refuse(self, Downstream client, int reason, int64_t now) except -1:
        """Answer a request whose head is not acceptable; its connection ends."""
        self._reset(client, now)
        self.method = M_OTHER
        self.closing = True
        self._identify(NULL)
        return self.answer_fault(reason)

    cdef size_t begin(self, Downstream client, Bytes p, size_t n, int64_t now) except? 0:
        """Take the request whose head was scanned into plane.head; `p` holds it and n bytes in all. Returns the bytes used."""
        cdef Head* head = &self.plane.head
        cdef size_t used = head.end
        self._reset(client, now)
        self._identify(p)
        if head.accept_at >= 0:
            value = p[head.fields[head.accept_at].value:head.fields[head.accept_at].value + head.fields[head.accept_at].value_len]
            self.wants_json = b"json" in value
        if self.plane.log is not None:
            self._keep_for_log(p)
        if head.chunked:
            self.request_framing = BY_CHUNKS
            chunked_start(&self.request_chunks)
        elif head.content_length > 0:
            self.request_framing = BY_LENGTH
            self.request_left = <uint64_t> head.content_length
        else:
            self.request_done = True
        self._route(p)
        if self.stage == ENDED:
            return used
        self._write_head(p)
        if not self.request_done and n > used:
            used += self.feed(<unsigned char*> p + used, n - used)
            if self.stage == ENDED:
                return used
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

    cdef int _route(self, Bytes p) except -1:
        """Find the service and choose the version; answers the request itself where there is none."""
        cdef Plane plane = self.plane
        cdef Head* head = &plane.head
        cdef Rule rule = plane.router.only
        cdef bytes host
        plane.view.p = p
        plane.view.head = head
        if rule is None:
            host = p[head.authority:head.authority + head.authority_len].lower()
            if not host.startswith(b"["):
                host = host.partition(b":")[0]
            else:
                host = host.partition(b"]")[0] + b"]"
            path = p[head.target:head.target + head.path_len] if head.path_len else b"/"
            rule = plane.router.find(host, normalise(path), p[:head.method_len], plane.view)
            if rule is None:
                return self.answer_fault(NO_ROUTE)
        self.service = <Service> plane.services[rule.service]
        if head.upgrade and same_text(p + head.fields[head.upgrade_at].value, b"websocket", 9) \
                and head.fields[head.upgrade_at].value_len == 9 and self.service.websocket and head.method == M_GET:
            if not self.request_done or head.content_length >= 0:
                self.closing = True
                return self.answer_fault(BAD_REQUEST)
            self.websocket = True
        if self.service.body_limit and head.content_length > self.service.body_limit:
            return self.answer_fault(BODY_TOO_LARGE)
        if self.service.total:
            self.total_at = self.began + self.service.total
        if self.service.tokens < TOKENS_MOST:
            self.service.tokens += self.service.retry_budget
        return self._choose(rule.version, rule.by_condition)

    cdef int _choose(self, str forced, bint by_condition) except -1:
        cdef Decision decision
        cdef Service service = self.service
        cdef int i
        if forced:
            self.choice = BY_HEADER if by_condition else BY_FORCE
            for i in range(service.count):
                if (<Version> service.versions[i]).name == forced:
                    self.version = <Version> service.versions[i]
                    return 0
            return self.answer_fault(NO_ENDPOINT)
        service.choose(self.plane.view, self.client.peer, &decision)
        self.version = <Version> service.versions[decision.version]
        self.version.block.chosen += 1
        self.choice = decision.choice
        self.ring_key = decision.key
        if decision.mint and service.cookie_name is not None:
            self.cookie_line = b"Set-Cookie: %s=%s%s" % (service.cookie_name, service.cookie(decision.minted), service.cookie_tail)
        return 0

    cdef int _write_head(self, Bytes p) except -1:
        cdef Head* head = &self.plane.head
        cdef Version version = self.version
        self._reserve(request_room(head, &self.client.origin) + len(version.request_line))
        self.version_at = write_request(self.buffer, p, head, &self.client.origin, self.request_id, self.id_len, self.websocket)
        self.version_len = len(version.request_line)
        memcpy(self.buffer + self.version_at, <const char*> version.request_line, self.version_len)
        self.buffer_end = self.version_at + self.version_len
        self.buffer_end += write_framing(self.buffer + self.buffer_end, head)
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
        cdef int64_t now = monotonic()
        self.client.deadline(now + self.plane.body_timeout)
        if self.request_framing == BY_LENGTH:
            size = used = n if n < self.request_left else <size_t> self.request_left
            self.request_left -= size
            self.request_bytes += size
            self.request_done = self.request_left == 0
            parts[0] = _part(p, size)
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
                self.answer_fault(BODY_TOO_LARGE)
                return n
            if size:
                answer = <int> write_hex(digits, size)
                memcpy(digits + answer, b"\r\n", 2)
                parts[0] = _part(digits, answer + 2)
                parts[1] = _part(data, size)
                parts[2] = _part(b"\r\n", 2)
                count = 3
            if self.request_done:
                return used + self._end_chunks(p + used, parts, count)
        if self.request_done:
            self.client.deadline(0)
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
        n = 3 + write_trailers(self.plane.out + 3, p, &self.plane.answer)
        memcpy(self.plane.out + n, b"\r\n", 2)
        for i in range(count):
            all[i] = parts[i]
        all[count] = _part(self.plane.out, n + 2)
        self.client.deadline(0)
        self._forward(all, count + 1)
        return section

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
            return self._append(parts, count)
        if self.request_dropped or self.upstream is None:
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
            self.client.pause()
            self.upstream.deadline(self._until(monotonic(), self.service.idle))
        elif self.request_done and self.stage == ASKING:
            self._await_answer(monotonic())
        return 0

    # Attempts

    cdef int64_t _until(self, int64_t now, int64_t timeout) noexcept:
        """The deadline of a wait that begins now, within that of the whole exchange; 0: none."""
        cdef int64_t at = now + timeout if timeout else 0
        if self.total_at and (at == 0 or self.total_at < at):
            return self.total_at
        return at

    cdef int _attempt(self) except -1:
        """Choose an endpoint and send the request there, or wait for one, or answer that there is none."""
        cdef int64_t now = monotonic()
        cdef Endpoint endpoint = self.version.pick(self.avoid, self.ring_key, now)
        cdef Version other
        if endpoint is None:
            if self.avoid is None:
                self._count_unavailable(now)
            if self.service.fallback >= 0 and (self.avoid is None or self.service.fallback_on_error):
                other = <Version> self.service.versions[self.service.fallback]
                if other is not self.version:
                    endpoint = other.pick(self.avoid, self.ring_key, now)
            if endpoint is None:
                return self.answer_fault(self.reason if self.reason else NO_ENDPOINT)
            self._use_version(other)
            self.choice = BY_FALLBACK
        self.endpoint = endpoint
        if self.version.limit and endpoint.in_flight >= self.version.limit:
            if len(endpoint.waiting) >= self.version.queue:
                self._count_unavailable(now)
                return self.answer_fault(QUEUE_FULL)
            endpoint.waiting.append(self)
            self.client.deadline(self._until(now, self.service.wait))
            return 0
        return self._claim(now)

    cdef int _count_unavailable(self, int64_t now) noexcept:
        """The version could not serve its share: an attempt that failed at once, at no endpoint."""
        self.version.block.unavailable += 1
        attempt_started(self.version.block, self.plane.slab.endpoint(0), now)
        attempt_ended(self.version.block, self.plane.slab.endpoint(0), UNAVAILABLE, now, now)
        return 0

    cdef int endpoint_free(self) except -1:
        self.client.deadline(0)
        return self._claim(monotonic())

    cdef int _claim(self, int64_t now) except -1:
        """The request is this endpoint's now: count it and find a connection."""
        cdef Endpoint endpoint = self.endpoint
        cdef int answer
        endpoint.in_flight += 1
        attempt_started(self.version.block, endpoint.block, now)
        self.attempting = True
        self.attempt_began = now
        while True:
            answer = endpoint.acquire(self)
            if answer != 1:
                return self._await_connection(answer, now)
            self.upstream = endpoint.latest
            if self._is_idempotent() and self.replayable or is_quiet(self.upstream.fd):
                return self._send(now)
            endpoint.discard(self.upstream)

    cdef int _connect_afresh(self, int64_t now) except -1:
        """The idle connection was over before it answered: the same attempt goes on with a new one."""
        self.endpoint.discard(self.upstream)
        self.upstream = None
        self.stage = WAITING
        return self._await_connection(self.endpoint.connect(self), now)

    cdef int _await_connection(self, int answer, int64_t now) except -1:
        if answer < 0:
            return self.upstream_failed(-answer)
        self.upstream = self.endpoint.latest
        self.upstream.deadline(self._until(now, self.service.connect))
        return 0

    cdef int upstream_failed(self, int error) except -1:
        if error == 0:
            return self.fail(CONNECT_TIMEOUT, CONNECT_ERROR)
        return self.fail(CONNECT_REFUSED if error == ECONNREFUSED else CONNECT_FAILED, CONNECT_ERROR)

    cdef int upstream_connected(self) except -1:
        return self._send(monotonic())

    cdef int _send(self, int64_t now) except -1:
        """Send what there is of the request."""
        cdef iovec part = _part(self.buffer, self.buffer_end)
        cdef int sent
        self.stage = ASKING
        sent = self.upstream.send(&part, 1)
        if sent < 0:
            if self.upstream.reused:
                return self._connect_afresh(now)
            return self.fail(UPSTREAM_RESET, RESET)
        if sent:
            self.upstream.deadline(self._until(now, self.service.idle))
            return 0
        self._await_answer(now)
        if not self.request_done:
            self.client.resume()
        return 0

    cdef void _await_answer(self, int64_t now) noexcept:
        """All that there is was sent: the endpoint's turn, if the request is whole or waits for its 100."""
        if self.request_done or self.expects:
            self.upstream.deadline(self._until(now, self.service.response))
        else:
            self.upstream.deadline(self.total_at)

    cdef int upstream_drained(self) except -1:
        if not self.request_done:
            self.client.resume()
        if self.stage == ASKING:
            self._await_answer(monotonic())
        return 0

    cdef bint _is_idempotent(self) noexcept:
        return self.method in (M_GET, M_HEAD, M_PUT, M_DELETE, M_OPTIONS)

    cdef bint _may_retry(self, int outcome) noexcept:
        if self.stage >= ANSWERING or self.websocket or self.interims:
            return False
        if self.retries >= self.service.retry_attempts or self.service.tokens < 1 or not self.service.retry_on >> outcome & 1:
            return False
        return outcome == CONNECT_ERROR or self._is_idempotent() and self.replayable

    cdef int _end_attempt(self, int outcome, int64_t now) except -1:
        """Count the attempt; its endpoint has room for the next."""
        cdef Endpoint endpoint = self.endpoint
        if self.attempting:
            self.attempting = False
            self.attempt_total += now - self.attempt_began
            attempt_ended(self.version.block, endpoint.block, outcome, self.attempt_began, now)
            if outcome != ABORTED:
                endpoint.note(outcome != 0, now)
            endpoint.left()
        return 0

    cdef int fail(self, int reason, int outcome) except -1:
        """This attempt is over without a whole answer: another one if that is safe and allowed, else tell the client."""
        cdef int64_t now = monotonic()
        if self.upstream is not None:
            self.endpoint.discard(self.upstream)
            self.upstream = None
        self.reason = reason
        retry = self._may_retry(outcome)
        self._end_attempt(outcome, now)
        if self.stage >= ANSWERING:
            return self.cut(reason, now)
        if retry:
            self.retries += 1
            self.service.tokens -= 1
            self.version.block.retries += 1
            self.avoid = self.endpoint
            self.stage = WAITING
            return self._attempt()
        return self.answer_fault(reason)

    # Ends

    cdef int answer_fault(self, int reason) except -1:
        """Answer in the upstream's place."""
        cdef int64_t now = monotonic()
        cdef iovec part
        cdef bint close
        if self.upstream is not None:
            self.endpoint.discard(self.upstream)
            self.upstream = None
        self._end_attempt(ABORTED, now)
        if self.stage >= ANSWERING or STATUS[reason] == 0:
            return self.cut(reason, now)
        self.reason = reason
        self.status = STATUS[reason]
        close = self.closing or not self.keep_alive or not self.request_done
        text = render(reason, self.request_id[:self.id_len].decode("ascii"), wants_json=self.wants_json,
                      head_only=self.method == M_HEAD, close=close)
        part = _part(<const char*> <bytes> text, len(text))
        if self.client.send(&part, 1) < 0:
            return self.cut(CLIENT_CLOSED, now)
        return self.finish(not close, True, now)

    cdef int cut(self, int reason, int64_t now) except -1:
        """End the client's connection so that it cannot take what it got for a whole answer."""
        if self.upstream is not None:
            self.endpoint.discard(self.upstream)
            self.upstream = None
        self._end_attempt(ABORTED, now)
        self.reason = reason
        if self.status == 0:
            self.status = STATUS[reason] if STATUS[reason] else STATUS[CLIENT_CLOSED]
        self.client.reset()
        return self.finish(False, False, now)

    cdef int upstream_broken(self) except -1:
        return self.fail(INTERNAL, RESET)

    cdef int finish(self, bint keep, bint linger, int64_t now) except -1:
        """Count the request, write it down, and let the client go on. Nothing of this exchange comes after it."""
        cdef Version version = self.version
        self.stage = ENDED
        if not self.counted:
            request_ended(self.plane.nowhere if version is None else version.block, self.status, self.reason, now - self.began)
        if version is not None:
            version.block.bytes_in += self.request_bytes
            version.block.bytes_out += self.answer_bytes
        if self.plane.log is not None:
            self.ended = now
            self.plane.log.write(self)
        return self.client.exchange_ended(keep, linger)
