"""Having a request answered: its route, version and endpoint, the attempts and retries.

Owns every decision on where a request goes. Must not read responses (answering.pyx) or client sockets (client.pyx).

Rules:
1. An exchange keeps the Service and Version that it began with: one snapshot for all of it.
2. What is sent again must be safe: nothing was sent, or the method is idempotent and all of the request is kept
   (RFC 9110 section 9.2.2). A connection that was idle and ends without a byte of answer is such a case at once, on a new
   connection, as part of the same attempt: the race with the endpoint's own idle timeout is nobody's failure. What must
   not be sent again does not enter that race: after `fresh_after` it goes on a new connection at once.
3. Every attempt ends in exactly one outcome, counted against the version that it was sent to.
"""

from libc.errno cimport EADDRNOTAVAIL, ECONNREFUSED, EMFILE, ENFILE, ENOBUFS, ENOMEM
from libc.stdint cimport int64_t
from libc.string cimport memcmp

from proxy.core.routing cimport Rule
from proxy.wire.counters cimport attempt_ended, attempt_started
from proxy.wire.ending cimport Ending, without_port
from proxy.wire.hops cimport NO_LIMIT, NO_NUMBER, forwards_left, has_passed
from proxy.wire.http1 cimport M_GET, M_OPTIONS, M_TRACE, Bytes, Head, same_text
from proxy.wire.plane cimport Plane
from proxy.wire.poller cimport is_quiet, iovec, monotonic
from proxy.wire.request cimport ANSWERING, ASKING, WAITING, part_of
from proxy.wire.service cimport BY_FALLBACK, BY_FORCE, BY_HEADER, Decision, Service
from proxy.wire.upstream cimport BAD_CERTIFICATE, NO_TLS, Endpoint
from proxy.wire.version cimport Version

from proxy.core.outcome import Outcome, Reason
from proxy.core.routing import hides_slash, normalise

cdef int TIMEOUT = int(Outcome.TIMEOUT)
cdef int CONNECT_ERROR = int(Outcome.CONNECT_ERROR)
cdef int RESET = int(Outcome.RESET)
cdef int ABORTED = int(Outcome.ABORTED)
cdef int UNAVAILABLE = int(Outcome.UNAVAILABLE)
cdef int BAD_REQUEST = int(Reason.BAD_REQUEST)
cdef int METHOD_NOT_ALLOWED = int(Reason.METHOD_NOT_ALLOWED)
cdef int HIDDEN_SLASH = int(Reason.HIDDEN_SLASH)
cdef int LOOP_DETECTED = int(Reason.LOOP_DETECTED)
cdef int MISDIRECTED = int(Reason.MISDIRECTED)
cdef int BODY_TOO_LARGE = int(Reason.BODY_TOO_LARGE)
cdef int NO_ROUTE = int(Reason.NO_ROUTE)
cdef int NO_ENDPOINT = int(Reason.NO_ENDPOINT)
cdef int QUEUE_FULL = int(Reason.QUEUE_FULL)
cdef int CONNECT_REFUSED = int(Reason.CONNECT_REFUSED)
cdef int CONNECT_TIMEOUT = int(Reason.CONNECT_TIMEOUT)
cdef int CONNECT_FAILED = int(Reason.CONNECT_FAILED)
cdef int TOTAL_TIMEOUT = int(Reason.TOTAL_TIMEOUT)
cdef int UPSTREAM_RESET = int(Reason.UPSTREAM_RESET)
cdef int TLS_FAILED = int(Reason.TLS_FAILED)
cdef int CERTIFICATE_INVALID = int(Reason.CERTIFICATE_INVALID)
cdef int INTERNAL = int(Reason.INTERNAL)
cdef int EXHAUSTED = int(Reason.EXHAUSTED)

cdef enum:
    TOKENS_MOST = 100


cdef int _reason_of(int error) noexcept:
    """Why there is no connection to an endpoint."""
    if error == ECONNREFUSED:
        return CONNECT_REFUSED
    if error in (EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM):
        return EXHAUSTED
    if error == NO_TLS:
        return TLS_FAILED
    return CERTIFICATE_INVALID if error == BAD_CERTIFICATE else CONNECT_FAILED


cdef class Asking(Ending):
    cdef int _route(self, Bytes p) except -1:
        """Find the service and choose the version; answers the request itself where there is none."""
        cdef Plane plane = self.plane
        cdef Head* head = &plane.head
        cdef Rule rule = plane.router.only
        cdef bytes host
        cdef int64_t left = NO_LIMIT
        if self.client.certificate is not None and self._is_misdirected(p):
            return self.answer_fault(MISDIRECTED)
        if plane.via is not None and has_passed(p, head, plane.via):
            return self.answer_fault(LOOP_DETECTED)
        if head.method == M_OPTIONS or head.method == M_TRACE:
            left = forwards_left(p, head)
            if left == NO_NUMBER:
                self.closing = True
                return self.answer_fault(BAD_REQUEST)
            if head.method == M_OPTIONS and (left == 0 or head.target_len == 0 or p[head.target] == 42):
                return self._answer_options()
        if self.client.redirect is not None and head.method != M_TRACE:
            return self._answer_redirect(p)
        plane.view.p = p
        plane.view.head = head
        plane.view.trusted = self.client.origin.trusted
        if rule is None:
            host = without_port(p[head.authority:head.authority + head.authority_len].lower()).removesuffix(b".")
            path = p[head.target:head.target + head.path_len] if head.path_len else b"/"
            rule = plane.router.find(host, normalise(path), p[:head.method_len], plane.view)
            if rule is None:
                return self.answer_fault(METHOD_NOT_ALLOWED if head.method == M_TRACE else NO_ROUTE)
        if rule.refuses_hidden_slashes and hides_slash(p[head.target:head.target + head.path_len]):
            return self.answer_fault(HIDDEN_SLASH)
        if head.method == M_TRACE:
            # It shows what others added to a request: only where a route says that it may (RFC 9110 section 9.3.8).
            self.closing = True
            if not rule.traces or self.client.redirect is not None:
                return self.answer_fault(METHOD_NOT_ALLOWED)
            if not self.request_done:
                return self.answer_fault(BAD_REQUEST)
            if left == 0:
                return self._answer_trace(p)
        return self._enter(rule, head, p)

    cdef bint _is_misdirected(self, Bytes p) except -1:
        """Is the host one that another certificate than the client's is for (RFC 9110 section 15.5.20)?"""
        cdef Head* head = &self.plane.head
        cdef bytes authority = self.client.covered
        if authority is not None and len(authority) == head.authority_len \
                and memcmp(<const char*> authority, p + head.authority, head.authority_len) == 0:
            return False
        authority = p[head.authority:head.authority + head.authority_len]
        if self.client.certificate.is_misdirected(without_port(authority).decode("ascii", "replace")):
            return True
        self.client.covered = authority
        return False

    cdef int _enter(self, Rule rule, const Head* head, Bytes p) except -1:
        """Take the request into the service of its route, and choose the version."""
        cdef Plane plane = self.plane
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
                    break
            else:
                return self.answer_fault(NO_ENDPOINT)
            service.find_ring_key(self.plane.view, self.client.peer, &decision)
        else:
            service.choose(self.plane.view, self.client.peer, &decision)
            self.version = <Version> service.versions[decision.version]
            self.version.block.chosen += 1
            self.choice = decision.choice
        self.ring_key = decision.key
        if decision.mint and service.cookie_name is not None:
            tail = service.cookie_tail_tls if self.client.origin.tls else service.cookie_tail
            self.cookie_line = b"Set-Cookie: %s=%s%s" % (service.cookie_name, service.cookie(decision.minted), tail)
        return 0

    # Attempts

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
            if not self.request_done:
                self.client.pause()  # the deadline is that of the wait, not that of the body
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
        if not self.endpoint.up:
            self.version.refresh()
            return self._attempt()
        return self._claim(monotonic())

    cdef int _claim(self, int64_t now) except -1:
        """The request is this endpoint's now: count it and find a connection."""
        cdef Endpoint endpoint = self.endpoint
        cdef bint repeatable = self._is_idempotent() and self.replayable
        cdef int answer
        endpoint.in_flight += 1
        attempt_started(self.version.block, endpoint.block, now)
        self.attempting = True
        self.refusals = 0
        self.attempt_began = now
        if not repeatable and endpoint.has_rested(now):
            return self._await_connection(endpoint.connect(self), now)
        while True:
            answer = endpoint.acquire(self)
            if answer != 1:
                return self._await_connection(answer, now)
            self.upstream = endpoint.latest
            if repeatable or is_quiet(self.upstream.fd):
                return self._send(now)
            endpoint.discard(self.upstream)

    cdef int _connect_afresh(self, int64_t now) except -1:
        """The idle connection was over before it answered, or one of several addresses refused: the attempt goes on."""
        if self.upstream is not None:
            self.endpoint.discard(self.upstream)
            self.upstream = None
        self.request_dropped = False
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
            if self._is_over(monotonic()):
                return self.fail(TOTAL_TIMEOUT, TIMEOUT)
            return self.fail(CONNECT_TIMEOUT, CONNECT_ERROR)
        self.refusals += 1
        if self.refusals < self.endpoint.address_count:
            return self._connect_afresh(monotonic())
        return self.fail(_reason_of(error), CONNECT_ERROR)

    cdef int upstream_connected(self) except -1:
        return self._send(monotonic())

    cdef int _send(self, int64_t now) except -1:
        """Send what there is of the request."""
        cdef iovec part = part_of(self.buffer, self.buffer_end)
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
            self.rate_until = 0  # until now it may have been somebody else's turn
            self._await_body()
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
            self._await_body()
        if self.stage == ASKING:
            self._await_answer(monotonic())
        return 0

    cdef bint _is_over(self, int64_t now) noexcept:
        """Has the whole exchange had its time?"""
        return self.total_at != 0 and now >= self.total_at

    cdef bint _may_retry(self, int outcome) except -1:
        if self.stage >= ANSWERING or self.interims or self._is_over(monotonic()):
            return False
        if self.retries >= self.service.retry_attempts or self.service.tokens < 1 or not self.service.retry_on >> outcome & 1:
            return False
        if outcome != CONNECT_ERROR and (self.websocket or not self.replayable or not self._is_idempotent()):
            return False
        return self._has_other_endpoint()

    cdef bint _has_other_endpoint(self) except -1:
        cdef Version other
        if self.version.has_other(self.endpoint):
            return True
        if not self.service.fallback_on_error or self.service.fallback < 0:
            return False
        other = <Version> self.service.versions[self.service.fallback]
        return other is not self.version and other.has_other(self.endpoint)

    cdef int fail(self, int reason, int outcome) except -1:
        """This attempt is over without a whole answer: another one if that is safe and allowed, else tell the client."""
        cdef int64_t now = monotonic()
        if self.upstream is not None:
            self.endpoint.discard(self.upstream)
            self.upstream = None
        self.reason = reason
        retry = self._may_retry(outcome)
        # What we had no means for says nothing of the endpoint.
        self._end_attempt(ABORTED if reason == EXHAUSTED else outcome, now)
        if self.stage >= ANSWERING:
            return self.cut(reason, now)
        if retry:
            self.retries += 1
            self.service.tokens -= 1
            self.version.block.retries += 1
            self.avoid = self.endpoint
            self.request_dropped = False
            self.stage = WAITING
            return self._attempt()
        return self.answer_fault(reason)

    cdef int upstream_broken(self) except -1:
        return self.fail(INTERNAL, RESET)
