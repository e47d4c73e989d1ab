"""The answer half of an exchange: response heads, and the body on its way to the client.

Owns what comes from the upstream until the client has it. Must not choose endpoints or versions (asking.pyx) or end exchanges in other ways (exchange.pyx).

Rules:
1. What arrives is passed on at once, one write for each read; when the client does not take it, the upstream is not read.
2. The body is framed anew: by its length, in chunks for HTTP/1.1, until close for HTTP/1.0.
3. An answer that ends too early must not look whole: the client's connection is reset (RFC 9112 section 8).
4. A connection serves another exchange only after a whole, exactly framed answer to a request that was sent whole.
5. An answer may begin before the request's body has ended; both go on. When the answer ends first, the rest of the body
   is read and dropped if it is small and announced, else the client's connection ends.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from proxy.wire.asking cimport Asking
from proxy.wire.chunked cimport chunked_feed, chunked_start
from proxy.wire.fields cimport scan_trailers
from proxy.wire.forward cimport response_room, write_hex, write_number, write_response, write_trailers
from proxy.wire.http1 cimport COMPLETE, M_HEAD, MORE, Head, scan_response
from proxy.wire.poller cimport iovec, monotonic
from proxy.wire.request cimport ANSWERING, ASKING, BY_CHUNKS, BY_LENGTH, NO_BODY, TUNNEL, UNTIL_CLOSE, part_of
from proxy.wire.upstream cimport Upstream

from proxy.core.outcome import Outcome, Reason

cdef int OK = int(Outcome.OK)
cdef int FOUR_XX = int(Outcome.FOUR_XX)
cdef int FIVE_XX = int(Outcome.FIVE_XX)
cdef int PROTOCOL_ERROR = int(Outcome.PROTOCOL_ERROR)
cdef int HEAD_TOO_LARGE = int(Reason.HEAD_TOO_LARGE)
cdef int UPSTREAM_PROTOCOL = int(Reason.UPSTREAM_PROTOCOL)
cdef int RESPONSE_HEAD_TOO_LARGE = int(Reason.RESPONSE_HEAD_TOO_LARGE)
cdef int CLIENT_CLOSED = int(Reason.CLIENT_CLOSED)

cdef enum:
    INTERIMS_MOST = 16
    SMALL_REST = 1048576    # of a request body that nobody wants: read to its end rather than closing on it
    OWN_LINES = 384         # Via, Connection, framing and the end of a head


cdef class Answering(Asking):
    """The response, from its first head to its last byte."""

    # What the upstream says

    cdef int upstream_readable(self) except -1:
        cdef Upstream upstream = self.upstream
        cdef ssize_t n = upstream.take()
        cdef unsigned char* p = self.plane.poller.scratch
        cdef int64_t now
        cdef iovec part
        if n == -2:
            return 0
        now = monotonic()
        if n <= 0:
            return self._upstream_over(n < 0, now)
        if self.stage == ANSWERING:
            return self._relay(&part, 0, p, n, now)
        if self.stage == ASKING:
            return self._heads(p, n)
        return self._carry(p, n, now)

    cdef int _heads(self, unsigned char* p, size_t n) except -1:
        """Response heads: any interim ones, then the final one."""
        cdef Head* head = &self.plane.answer
        cdef int answer
        while True:
            answer = scan_response(p, n, &self.plane.answer_limits, head)
            if answer == MORE:
                self.upstream.hold(p, n)
                return 0
            if answer != COMPLETE:
                return self.fail(RESPONSE_HEAD_TOO_LARGE if answer == HEAD_TOO_LARGE else UPSTREAM_PROTOCOL, PROTOCOL_ERROR)
            if head.status >= 200 or head.status == 101:
                return self._answer(p, n, monotonic())
            self.interims += 1
            if self.interims > INTERIMS_MOST:
                return self.fail(UPSTREAM_PROTOCOL, PROTOCOL_ERROR)
            if self._interim(p):
                return 0
            p += head.end
            n -= head.end
            if n == 0:
                return 0

    cdef int _interim(self, unsigned char* p) except -1:
        """Pass a 1xx on to who may get it; 1 when the client is gone (RFC 9110 section 15.2)."""
        cdef Head* head = &self.plane.answer
        cdef size_t n
        cdef iovec part
        if self.minor == 0 or head.status == 100 and not self.expects:
            return 0
        if head.status == 100:
            self.expects = False
            self._await_body()
            if not self.request_done:
                self.upstream.deadline(self.total_at)
        self.plane.room(response_room(head))
        n = write_response(self.plane.out, p, head, False)
        memcpy(self.plane.out + n, b"\r\n", 2)
        part = part_of(self.plane.out, n + 2)
        if self.client.send(&part, 1) < 0:
            self.client_gone(CLIENT_CLOSED)
            return 1
        return 0

    cdef int _answer(self, unsigned char* p, size_t n, int64_t now) except -1:
        """The final head has come: pass it on with what there is of the body."""
        cdef Head* head = &self.plane.answer
        cdef iovec parts[6]
        if head.status == 101:
            return self._switch(p, n, now)
        if head.status >= 500 and self._may_retry(FIVE_XX):
            return self.fail(UPSTREAM_PROTOCOL, FIVE_XX)
        self.status = head.status
        self.upstream_keeps = head.keep_alive
        self._frame()
        self.stage = ANSWERING
        self.reason = 0
        parts[0] = part_of(NULL, self._write_answer(p))
        parts[0].iov_base = self.plane.out
        return self._relay(parts, 1, p + head.end, n - head.end, now)

    cdef void _frame(self) noexcept:
        """How the answer's body is delimited (RFC 9112 section 6.3), and whether the client's connection can persist."""
        cdef Head* head = &self.plane.answer
        if self.method == M_HEAD or head.status == 204 or head.status == 304:
            self.answer_framing = NO_BODY
        elif head.chunked:
            self.answer_framing = BY_CHUNKS
            chunked_start(&self.answer_chunks)
            self.answer_trailers = not head.named
        elif head.content_length >= 0:
            self.answer_framing = BY_LENGTH
            self.answer_left = <uint64_t> head.content_length
        else:
            self.answer_framing = UNTIL_CLOSE
            self.upstream_keeps = False
        self.raw = self.minor == 0 and self.answer_framing in (BY_CHUNKS, UNTIL_CLOSE)
        if self.raw or not self.keep_alive or self.plane.draining:
            self.closing = True
        if not self.request_done and (self.expects or self.request_framing == BY_CHUNKS or self.request_left > SMALL_REST):
            self.closing = True

    cdef size_t _write_answer(self, unsigned char* p) except 0:
        """The head for the client into plane.out; its length."""
        cdef Head* head = &self.plane.answer
        cdef bytes line = self.version.response_line
        cdef bytes cookie = self.cookie_line
        cdef bytes via
        cdef unsigned char* out
        cdef size_t n
        cdef bint chunks = self.answer_framing in (BY_CHUNKS, UNTIL_CLOSE) and not self.raw
        self.plane.room(response_room(head) + len(line) + (len(cookie) if cookie is not None else 0) + OWN_LINES)
        out = self.plane.out
        n = write_response(out, p, head, chunks)
        if line:
            memcpy(out + n, <const char*> line, len(line))
            n += len(line)
        if cookie is not None:
            memcpy(out + n, <const char*> cookie, len(cookie))
            n += len(cookie)
        if self.plane.via_on_responses:
            via = self.plane.via_1_1 if head.minor else self.plane.via_1_0
            memcpy(out + n, <const char*> via, len(via))
            n += len(via)
        if chunks:
            memcpy(out + n, b"Transfer-Encoding: chunked\r\n", 28)
            n += 28
        elif head.content_length >= 0 and not self.raw and head.status != 204:
            memcpy(out + n, b"Content-Length: ", 16)
            n += 16
            n += write_number(out + n, <uint64_t> head.content_length)
            memcpy(out + n, b"\r\n", 2)
            n += 2
        if self.closing:
            memcpy(out + n, b"Connection: close\r\n", 19)
            n += 19
        elif self.minor == 0:
            memcpy(out + n, b"Connection: keep-alive\r\n", 24)
            n += 24
        memcpy(out + n, b"\r\n", 2)
        return n + 2

    # The body

    cdef int _relay(self, iovec* parts, int count, unsigned char* p, size_t n, int64_t now) except -1:
        """Pass body bytes on, behind the `count` parts before them."""
        cdef iovec own[2]
        cdef size_t take
        if self.answer_framing == BY_CHUNKS:
            return self._relay_chunks(parts, count, p, n, now)
        if self.answer_framing == UNTIL_CLOSE:
            return self._relay_raw(parts, count, p, n, now)
        take = n if n < self.answer_left else <size_t> self.answer_left
        self.answer_left -= take
        self.answer_bytes += take
        if count:
            own[0] = parts[0]
        if take:
            own[count] = part_of(p, take)
            count += 1
        return self._pass(own, count, self.answer_left == 0, take == n, now)

    cdef int _relay_raw(self, iovec* parts, int count, unsigned char* p, size_t n, int64_t now) except -1:
        """A body until close: in chunks, or as it is to an HTTP/1.0 client."""
        cdef unsigned char digits[24]
        cdef iovec own[4]
        cdef size_t length
        self.answer_bytes += n
        if count:
            own[0] = parts[0]
        if n and self.raw:
            own[count] = part_of(p, n)
            count += 1
        elif n:
            length = write_hex(digits, n)
            memcpy(digits + length, b"\r\n", 2)
            own[count] = part_of(digits, length + 2)
            own[count + 1] = part_of(p, n)
            own[count + 2] = part_of(b"\r\n", 2)
            count += 3
        return self._pass(own, count, False, True, now)

    cdef int _relay_chunks(self, iovec* parts, int count, unsigned char* p, size_t n, int64_t now) except -1:
        cdef unsigned char digits[24]
        cdef unsigned char* data
        cdef iovec own[5]
        cdef size_t used = 0
        cdef size_t size = 0
        cdef size_t length
        cdef size_t at
        cdef int answer
        cdef bint done = False
        if count:
            own[0] = parts[0]
        answer = chunked_feed(&self.answer_chunks, p, n, &used, &data, &size)
        self.answer_bytes += size
        if size and self.raw:
            own[count] = part_of(data, size)
            count += 1
        elif size:
            length = write_hex(digits, size)
            memcpy(digits + length, b"\r\n", 2)
            own[count] = part_of(digits, length + 2)
            own[count + 1] = part_of(data, size)
            own[count + 2] = part_of(b"\r\n", 2)
            count += 3
        if answer == COMPLETE:
            # plane.out may hold the head that is sent with this: the end goes behind it.
            at = own[0].iov_len if count and own[0].iov_base == self.plane.out else 0
            answer = scan_trailers(p + used, n - used, &self.plane.trailer_limits, &self.plane.answer)
            if answer == COMPLETE:
                done = True
                length = self.plane.answer.end
                self.plane.room(at + length + 8)
                if at:
                    own[0].iov_base = self.plane.out
                if not self.raw:
                    memcpy(self.plane.out + at, b"0\r\n", 3)
                    size = 3
                    if self.answer_trailers:
                        size += write_trailers(self.plane.out + at + 3, p + used, &self.plane.answer)
                    memcpy(self.plane.out + at + size, b"\r\n", 2)
                    own[count] = part_of(self.plane.out + at, size + 2)
                    count += 1
                used += length
        if answer > 0:
            return self.fail(UPSTREAM_PROTOCOL, PROTOCOL_ERROR)
        if not done:
            self.upstream.hold(p + used, n - used)
        return self._pass(own, count, done, used == n, now)

    cdef int _pass(self, iovec* parts, int count, bint last, bint clean, int64_t now) except -1:
        """Send to the client; then end the exchange, or wait for more. `clean`: nothing came that should not."""
        cdef int sent = self.client.send(parts, count) if count else 0
        if sent < 0:
            return self.client_gone(CLIENT_CLOSED)
        if last:
            return self._complete(clean, now)
        if sent:
            self.upstream.pause()
            self.upstream.deadline(self.total_at)
            self.client.await_reading(now + self.plane.write_timeout)
        else:
            self.upstream.deadline(self._until(now, self.service.tunnel if self.stage == TUNNEL else self.service.idle))
        return 0

    cdef int _complete(self, bint clean, int64_t now) except -1:
        """The answer is whole. `clean`: its connection holds nothing else."""
        cdef Upstream upstream = self.upstream
        cdef bint whole = self.request_done and not self.request_dropped and upstream.pending_end == 0
        cdef bint rest
        self.upstream = None
        if clean and whole and self.upstream_keeps and upstream.held_size == 0:
            self.endpoint.put(upstream)
        else:
            self.endpoint.discard(upstream)
        self._end_attempt(OK if self.status < 400 else FOUR_XX if self.status < 500 else FIVE_XX, now)
        rest = not self.request_done
        return self.finish(not self.closing, rest, now)

    # What else can become of an exchange: said further down the chain (tunnel.pyx, exchange.pyx)

    cdef int client_gone(self, int reason) except -1:
        """The client's connection is over."""
        return 0

    cdef int _switch(self, unsigned char* p, size_t n, int64_t now) except -1:
        """101: become a tunnel."""
        return 0

    cdef int _carry(self, unsigned char* p, size_t n, int64_t now) except -1:
        """Bytes of a tunnel have come."""
        return 0

    cdef int _upstream_over(self, bint broken, int64_t now) except -1:
        """The upstream ended its side, or the connection broke."""
        return 0
