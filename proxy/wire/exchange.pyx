"""Every way an exchange goes on or ends that is not a whole answer: ends on either side, deadlines, drains.

Owns the reaction to what happens to the two connections. Must not read messages (request.pyx, answering.pyx, tunnel.pyx).

Rules:
1. An answer that ends too early must not look whole: the client's connection is reset (RFC 9112 section 8).
2. A client that goes away is nobody's failure.
"""

from libc.stdint cimport int64_t

from proxy.wire.poller cimport iovec, monotonic
from proxy.wire.request cimport ANSWERING, ASKING, TUNNEL, UNTIL_CLOSE, part_of
from proxy.wire.tunnel cimport Tunnel

from proxy.core.outcome import Outcome, Reason

cdef int OK = int(Outcome.OK)
cdef int TIMEOUT = int(Outcome.TIMEOUT)
cdef int RESET = int(Outcome.RESET)
cdef int BODY_TIMEOUT = int(Reason.BODY_TIMEOUT)
cdef int WRITE_TIMEOUT = int(Reason.WRITE_TIMEOUT)
cdef int QUEUE_TIMEOUT = int(Reason.QUEUE_TIMEOUT)
cdef int RESPONSE_TIMEOUT = int(Reason.RESPONSE_TIMEOUT)
cdef int RESPONSE_IDLE_TIMEOUT = int(Reason.RESPONSE_IDLE_TIMEOUT)
cdef int TOTAL_TIMEOUT = int(Reason.TOTAL_TIMEOUT)
cdef int UPSTREAM_RESET = int(Reason.UPSTREAM_RESET)
cdef int UPSTREAM_CLOSED = int(Reason.UPSTREAM_CLOSED)
cdef int RESPONSE_INCOMPLETE = int(Reason.RESPONSE_INCOMPLETE)
cdef int CLIENT_CLOSED = int(Reason.CLIENT_CLOSED)
cdef int DRAINING = int(Reason.DRAINING)


cdef class Exchange(Tunnel):
    """One request and its response; ends in exactly one outcome."""

    def __repr__(self):
        stage = ("waiting", "asking", "answering", "tunnel", "ended")[self.stage]
        return f"<Exchange {bytes(self.request_id[:self.id_len]).decode('ascii', 'replace')} {stage} status={self.status}>"

    cdef int _upstream_over(self, bint broken, int64_t now) except -1:
        """The upstream ended its side, or the connection broke."""
        cdef iovec last
        if self.stage == TUNNEL:
            if broken:
                return self.fail(UPSTREAM_RESET, RESET)
            self.tunnel_upstream_done = True
            self.upstream.pause()
            if self.client.pending_end == 0:
                self.client.end_sending()
            return self._tunnel_ended(now) if self.tunnel_client_done else 0
        if self.stage == ANSWERING:
            if self.answer_framing == UNTIL_CLOSE and not broken:
                last = part_of(b"0\r\n\r\n", 5)
                return self._pass(&last, 0 if self.raw else 1, True, False, now)
            return self.fail(RESPONSE_INCOMPLETE, RESET)
        if self.upstream.held_size == 0 and self.upstream.reused and self.interims == 0 and self.replayable \
                and self._is_idempotent():
            return self._connect_afresh(now)
        return self.fail(UPSTREAM_RESET if broken else UPSTREAM_CLOSED, RESET)

    cdef int upstream_expired(self, int64_t now) except -1:
        if self.stage == TUNNEL:
            return self._leave(now)
        if self.drains and self._is_over(now):
            self._end_attempt(OK, now)
            return self.cut(DRAINING, now)
        if self._is_over(now):
            return self.fail(TOTAL_TIMEOUT, TIMEOUT)
        return self.fail(RESPONSE_TIMEOUT if self.stage == ASKING else RESPONSE_IDLE_TIMEOUT, TIMEOUT)

    # What the client does

    cdef int client_drained(self) except -1:
        """The client took all that was pending: read on."""
        cdef int64_t now = monotonic()
        if self.stage == TUNNEL:
            self.client.deadline(0)
        else:
            self._await_body()
        if self.upstream is None:
            return 0
        if self.tunnel_upstream_done:
            self.client.end_sending()
            return 0
        self.upstream.resume()
        if self.stage >= ANSWERING:
            self.upstream.deadline(self._until(now, self.service.tunnel if self.stage == TUNNEL else self.service.idle))
        return 0

    cdef int client_gone(self, int reason) except -1:
        """The client's connection is over."""
        if self._is_queued():
            try:
                self.endpoint.waiting.remove(self)
            except ValueError:
                pass
        if self.stage < ANSWERING:
            self.status = 0
        return self.cut(reason, monotonic())

    cdef int client_ended(self) except -1:
        """The client sends nothing more. It may still read."""
        if self.stage == TUNNEL:
            self.tunnel_client_done = True
            if self.upstream.pending_end == 0:
                self.upstream.end_sending()
            return self._tunnel_ended(monotonic()) if self.tunnel_upstream_done else 0
        if not self.request_done:
            return self.client_gone(CLIENT_CLOSED)
        self.closing = True
        return 0

    cdef int client_expired(self, int64_t now) except -1:
        if self.client.pending_end:
            if self.client.reads(self.plane.write_least):
                self.client.await_reading(now + self.plane.write_timeout)
                return 0
            return self.cut(WRITE_TIMEOUT, now)
        if self._is_queued():
            self.endpoint.waiting.remove(self)
            self._count_unavailable(now)
            return self.answer_fault(TOTAL_TIMEOUT if self._is_over(now) else QUEUE_TIMEOUT)
        if not self.request_done and not self._is_fast_enough(now):
            self.closing = True
            return self.answer_fault(BODY_TIMEOUT)
        return 0

    cdef int drain(self, int64_t deadline, int64_t grace) except -1:
        """The endpoint or the proxy stops: a long answer has until then, a tunnel has some grace to end in order."""
        if self.stage >= ANSWERING and (self.total_at == 0 or self.total_at > deadline):
            self.total_at = deadline
            self.grace = grace
            self.drains = True
            self.upstream.deadline(deadline)
        return 0
