"""Tunnels: what an exchange is after 101, bytes in both directions (RFC 9110 section 7.8).

Owns the switch, the bytes, and how a tunnel that must end is ended. Must not decide when (exchange.pyx, draining.pyx).

Rules:
1. A tunnel counts as a request when it begins; its load on the endpoint counts until it ends.
2. Bytes pass as they are. Where frames end is followed from the first byte on, or could not be known later.
3. A tunnel that is drained, or silent for too long, leaves in steps, with some grace for each: the client gets a Close with 1001 behind a whole frame (RFC 6455
   section 7.4.1), so that it knows that it should connect anew. Its own Close goes to the upstream, like all that it said
   before; when none comes, the upstream gets one of ours. Then both connections end in order. Where a Close did not fit,
   because what came is no frames or a frame has not ended, they are reset. What the upstream says behind our Close is
   dropped.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from proxy.wire.answering cimport Answering
from proxy.wire.asking cimport Asking
from proxy.wire.counters cimport attempt_ended, request_ended
from proxy.wire.forward cimport response_room, write_response
from proxy.wire.frames cimport CLOSE_MOST, frames_pass, frames_start, may_close, write_close
from proxy.wire.http1 cimport Head, same_text
from proxy.wire.poller cimport iovec, monotonic
from proxy.wire.request cimport ENDED, STAYING, TELLING_BOTH, TELLING_CLIENT, TUNNEL, part_of
from proxy.wire.upstream cimport Upstream

from proxy.core.outcome import Outcome, Reason

cdef int OK = int(Outcome.OK)
cdef int RESET = int(Outcome.RESET)
cdef int PROTOCOL_ERROR = int(Outcome.PROTOCOL_ERROR)
cdef int UPSTREAM_RESET = int(Reason.UPSTREAM_RESET)
cdef int UPSTREAM_PROTOCOL = int(Reason.UPSTREAM_PROTOCOL)
cdef int CLIENT_CLOSED = int(Reason.CLIENT_CLOSED)
cdef int DRAINING = int(Reason.DRAINING)
cdef int RESPONSE_IDLE_TIMEOUT = int(Reason.RESPONSE_IDLE_TIMEOUT)


cdef class Tunnel(Answering):
    """An exchange that may become a tunnel."""

    cdef int _switch(self, unsigned char* p, size_t n, int64_t now) except -1:
        """101: from here on bytes pass both ways. The exchange counts now, its load till the end."""
        cdef Head* head = &self.plane.answer
        cdef iovec parts[2]
        cdef size_t length
        if not self.websocket or not head.upgrade or head.fields[head.upgrade_at].value_len != 9 \
                or not same_text(p + head.fields[head.upgrade_at].value, b"websocket", 9):
            return self.fail(UPSTREAM_PROTOCOL, PROTOCOL_ERROR)
        self.status = 101
        self.stage = TUNNEL
        self.leaving = STAYING
        self.closing = True
        self.total_at = 0
        self.plane.slab.block.tunnels += 1
        lines = self.version.response_line if self.cookie_line is None else self.version.response_line + self.cookie_line
        if self.plane.via_on_responses:
            lines += self.plane.via_1_1
        self.plane.room(response_room(head) + len(lines))
        length = write_response(self.plane.out, p, head, False)
        memcpy(self.plane.out + length, <const char*> <bytes> lines, len(lines))
        length += len(lines)
        memcpy(self.plane.out + length, b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 43)
        parts[0] = part_of(self.plane.out, length + 43)
        parts[1] = part_of(p + head.end, n - head.end)
        frames_start(&self.to_client, False)
        frames_start(&self.to_upstream, True)
        frames_pass(&self.to_client, p + head.end, n - head.end, False)
        attempt_ended(self.version.block, self.endpoint.block, OK, self.attempt_began, now)
        self.version.block.in_flight += 1
        self.endpoint.block.in_flight += 1
        request_ended(self.version.block, 101, 0, now - self.began)
        self.counted = True
        if self._pass(parts, 2 if n > head.end else 1, False, True, now) or self.stage == ENDED:
            return 0
        return self.client.switched()

    # Bytes

    cdef int _carry(self, unsigned char* p, size_t n, int64_t now) except -1:
        """From the upstream to the client."""
        cdef unsigned char close[CLOSE_MOST]
        cdef iovec parts[2]
        cdef int count = 1
        cdef size_t take
        if self.leaving and self.told_client:
            return 0
        take = frames_pass(&self.to_client, p, n, self.leaving != STAYING)
        self.answer_bytes += take
        parts[0] = part_of(p, take)
        if self.leaving and may_close(&self.to_client):
            parts[1] = part_of(close, write_close(&self.to_client, close, 0))
            self.told_client = True
            count = 2
        return self._pass(parts, count, False, True, now)

    cdef size_t feed(self, unsigned char* p, size_t n) except? 0xffffffff:
        """From the client to the upstream."""
        cdef unsigned char close[CLOSE_MOST]
        cdef iovec parts[2]
        cdef int count = 1
        cdef int sent
        cdef int64_t now
        cdef size_t take
        if self.stage != TUNNEL:
            return Asking.feed(self, p, n)
        if self.leaving and self.told_upstream:
            return n
        take = frames_pass(&self.to_upstream, p, n, self.leaving == TELLING_BOTH)
        self.request_bytes += take
        parts[0] = part_of(p, take)
        if self.leaving == TELLING_BOTH and may_close(&self.to_upstream):
            parts[1] = part_of(close, write_close(&self.to_upstream, close, self.plane.next_random()))
            self.told_upstream = True
            count = 2
        now = monotonic()
        sent = self.upstream.send(parts, count)
        if sent < 0:
            self.fail(UPSTREAM_RESET, RESET)
        elif sent:
            self.client.pause()
        else:
            self.upstream.deadline(self._until(now, self.service.tunnel))
        return n

    cdef int upstream_drained(self) except -1:
        if self.stage != TUNNEL:
            return Asking.upstream_drained(self)
        if self.tunnel_client_done:
            self.upstream.end_sending()
        else:
            self.client.resume()
        return 0

    # Ends

    cdef int _leave(self, int64_t now) except -1:
        """The time of a tunnel is over, because it is drained or silent, or that of a step."""
        cdef unsigned char close[CLOSE_MOST]
        cdef iovec part
        cdef bint client_said_all = self.to_upstream.closed or self.tunnel_client_done
        if self.leaving != STAYING and not self._is_over(now):  # what passed in between set another deadline
            self.upstream.deadline(self.total_at)
            return 0
        if self.leaving == TELLING_BOTH or self.leaving == TELLING_CLIENT and client_said_all:
            if client_said_all and (self.to_client.closed or self.tunnel_upstream_done):
                return self._tunnel_ended(now)
            return self.cut(self.reason, now)
        if self.leaving == STAYING:
            self.leaving = TELLING_CLIENT
            self.reason = DRAINING if self._is_over(now) else RESPONSE_IDLE_TIMEOUT
            if not self.drains:
                self.grace = GRACE_NS
            self._await_step(now)
            self.told_client = self.told_upstream = False
            if may_close(&self.to_client) and not self.tunnel_upstream_done:
                part = part_of(close, write_close(&self.to_client, close, 0))
                self.told_client = True
                if self.client.send(&part, 1) < 0:
                    return self.client_gone(CLIENT_CLOSED)
            return 0
        self.leaving = TELLING_BOTH
        self._await_step(now)
        if may_close(&self.to_upstream):
            part = part_of(close, write_close(&self.to_upstream, close, self.plane.next_random()))
            self.told_upstream = True
            if self.upstream.send(&part, 1) < 0:
                return self.fail(UPSTREAM_RESET, RESET)
        return 0

    cdef void _await_step(self, int64_t now) noexcept:
        self.total_at = now + self.grace
        self.upstream.deadline(self.total_at)

    cdef int _tunnel_ended(self, int64_t now) except -1:
        """Both sides have said all that they say. Of one that leaves, the client may still be told that, and say more."""
        cdef Upstream upstream = self.upstream
        self.upstream = None
        self.endpoint.discard(upstream)
        self._end_attempt(OK, now)
        return self.finish(False, self.leaving != STAYING, now)

    cdef int _end_attempt(self, int outcome, int64_t now) except -1:
        if not self.counted:
            return Asking._end_attempt(self, outcome, now)
        if self.attempting:
            self.attempting = False
            self.plane.slab.block.tunnels -= 1
            self.version.block.in_flight -= 1
            self.endpoint.block.in_flight -= 1
            self.endpoint.left()
        return 0
