"""The ends of an exchange: answers of our own, an answer that is cut off, and what is counted and written down.

Owns that every exchange ends once and every attempt in one outcome. Must not choose where a request goes (asking.pyx).

Rules:
1. `finish` and what ends in it come last: the exchange may serve another request right afterwards.
2. An answer that cannot be told from a whole one is never left behind: the connection is reset.
"""

from libc.stdint cimport int64_t

from proxy.wire.counters cimport attempt_ended, request_ended
from proxy.wire.hops cimport traced
from proxy.wire.http1 cimport M_HEAD, M_OTHER, Bytes, Head
from proxy.wire.poller cimport iovec, monotonic
from proxy.wire.request cimport ANSWERING, ENDED, Request, part_of
from proxy.wire.upstream cimport Endpoint
from proxy.wire.version cimport Version

from proxy.core.faults import render, render_options, render_redirect, render_trace
from proxy.core.outcome import FAULTS, Outcome, Reason

cdef int UNAVAILABLE = int(Outcome.UNAVAILABLE)
cdef int ABORTED = int(Outcome.ABORTED)
cdef int BAD_REQUEST = int(Reason.BAD_REQUEST)
cdef int CLIENT_CLOSED = int(Reason.CLIENT_CLOSED)

cdef int STATUS[64]
for _reason in Reason:
    STATUS[int(_reason)] = FAULTS[_reason].status


cdef bytes without_port(bytes authority):
    """The host of an authority: "shop.example.com", "[::1]"."""
    if authority.startswith(b"["):
        return authority.partition(b"]")[0] + b"]"
    return authority.partition(b":")[0]


cdef class Ending(Request):
    cdef int refuse(self, Downstream client, int reason, int64_t now) except -1:
        """Answer a request whose head is not acceptable; its connection ends."""
        self._reset(client, now)
        self.method = M_OTHER
        self.closing = True
        self._identify(NULL)
        return self.answer_fault(reason)

    cdef int _end_attempt(self, int outcome, int64_t now) except -1:
        """Count the attempt; its endpoint has room for the next."""
        cdef Endpoint endpoint = self.endpoint
        if self.attempting:
            self.attempting = False
            self.attempt_total += now - self.attempt_began
            attempt_ended(self.version.block, endpoint.block, outcome, self.attempt_began, now)
            if outcome != ABORTED:
                endpoint.note(0 < outcome <= UNAVAILABLE, now)
            endpoint.left()
        return 0

    cdef int answer_fault(self, int reason) except -1:
        """Answer in the upstream's place."""
        cdef int64_t now = monotonic()
        if self.upstream is not None:
            self.endpoint.discard(self.upstream)
            self.upstream = None
        self._end_attempt(ABORTED, now)
        if self.stage >= ANSWERING or STATUS[reason] == 0:
            return self.cut(reason, now)
        self.reason = reason
        self.status = STATUS[reason]
        self.closing = self.closing or not self.keep_alive or not self.request_done
        return self._answer_alone(render(reason, self._id_text(), wants_json=self.wants_json,
                                         head_only=self.method == M_HEAD, close=self.closing), now)

    cdef int _answer_options(self) except -1:
        """To `OPTIONS *`, which asks about the server as a whole (RFC 9110 section 9.3.7), or where nobody else may be asked."""
        self.status = 204
        self.closing = self.closing or not self.keep_alive or not self.request_done
        return self._answer_alone(render_options(self._id_text(), close=self.closing), monotonic())

    cdef int _answer_trace(self, Bytes p) except -1:
        """The request may not go further: show what came here."""
        self.status = 200
        self.closing = self.closing or not self.keep_alive
        return self._answer_alone(render_trace(traced(p, &self.plane.head), self._id_text(), close=self.closing), monotonic())

    cdef int _answer_redirect(self, Bytes p) except -1:
        """The same is at https; 308 keeps method and body (RFC 9110 section 15.4.9)."""
        cdef Head* head = &self.plane.head
        host = without_port(p[head.authority:head.authority + head.authority_len])
        target = p[head.target:head.target + head.target_len]
        target = target if target.startswith(b"/") else b"/" + target  # of an absolute form without a path
        if not host:
            return self.answer_fault(BAD_REQUEST)
        self.status = 308
        self.closing = self.closing or not self.keep_alive or not self.request_done
        place = b"https://" + host + self.client.redirect + target
        return self._answer_alone(render_redirect(place.decode("ascii"), self._id_text(), close=self.closing), monotonic())

    cdef str _id_text(self):
        return self.request_id[:self.id_len].decode("ascii")

    cdef int _answer_alone(self, bytes text, int64_t now) except -1:
        """Send an answer of our own, whole."""
        cdef iovec part = part_of(<const char*> text, len(text))
        if self.client.send(&part, 1) < 0:
            return self.cut(CLIENT_CLOSED, now)
        return self.finish(not self.closing, True, now)

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

    cdef void _write_down(self) noexcept:
        """A log that fails is told on standard error; it ends no exchange."""
        self.plane.log.write(self)

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
            self._write_down()
        return self.client.exchange_ended(keep, linger)
