"""Connections to endpoints that speak TLS: connect, shake hands, then the same as others do, encrypted.

Owns what differs from a plain connection. Must not know HTTP, nor which context is used (`Endpoint.context`).

Rules:
1. It is connecting until the handshake is done: the deadline is that of the connection.
2. A session that an endpoint gave is used again for the next connection to it (RFC 8446 section 2.2).
3. An end without close_notify is an error: the answer may have been cut off by somebody in between (RFC 9112 section 9.8).
"""

import ssl

from libc.stdint cimport uint32_t

from proxy.wire.poller cimport EPOLLIN, EPOLLOUT, READ_SIZE, Socket, iovec, socket_error
from proxy.wire.tls cimport Session, say_farewell, send_sealed, transmit
from proxy.wire.upstream cimport BAD_CERTIFICATE, BUSY, CONNECTING, IDLE, NO_TLS, Endpoint, Upstream


def secured(Endpoint endpoint) -> Upstream:
    """A connection that begins with a handshake."""
    cdef TlsUpstream upstream = TlsUpstream.__new__(TlsUpstream)
    upstream.session = Session(
        endpoint.context, server_side=False, server_name=endpoint.server_name, session=endpoint.session)
    return upstream


cdef class TlsUpstream(Upstream):
    """One TLS connection to an endpoint."""

    cdef int ready(self, uint32_t events) except -1:
        cdef int error
        if self.state == CONNECTING:
            if self.greeted:
                return self._shake(events)
            error = socket_error(self.fd)
            return self.taker.upstream_failed(error) if error else self._begin()
        if self.state == IDLE:
            # Tickets and new keys come between two answers; everything else ends it.
            if self.read(self.poller.scratch, READ_SIZE) == -2:
                return 0
        return Upstream.ready(self, events)

    cdef int _begin(self) except -1:
        """The connection is made: say hello."""
        self.greeted = True
        self.want(EPOLLIN)
        return self._step()

    cdef int _shake(self, uint32_t events) except -1:
        cdef ssize_t came
        if events & EPOLLOUT and self.pending_end and self.flush() < 0:
            return self._fail(NO_TLS)
        if events & ~EPOLLOUT:
            came = self.session.receive(self.fd)
            if came == 0 or came == -1:
                return self._fail(NO_TLS)
            if came > 0:
                return self._step()
        return 0

    cdef int _step(self) except -1:
        cdef int answer = self.session.shake()
        if transmit(self, self.session.unsent()) < 0:
            answer = -1
        if answer < 0:
            return self._fail(BAD_CERTIFICATE if isinstance(self.session.error, ssl.SSLCertVerificationError) else NO_TLS)
        if answer > 0:
            self.state = BUSY
            self.taker.upstream_connected()
        return 0

    cdef int _fail(self, int error) except -1:
        self.endpoint.tell(self.session.error)
        return self.taker.upstream_failed(error)

    cdef void remember(self) noexcept:
        if not self.remembered:
            self.remembered = True
            self.endpoint.session = self.session.connection.session

    cdef ssize_t read(self, unsigned char* into, size_t size) noexcept:
        cdef ssize_t n = self.session.read(self.fd, into, size)
        if transmit(self, self.session.unsent()) < 0 or n == 0 and not self.session.ended:
            return -1
        return n

    cdef int send(self, iovec* parts, int count) except -2:
        return send_sealed(self, self.session, parts, count)

    cdef void end_sending(self) noexcept:
        say_farewell(self, self.session)
        Socket.end_sending(self)

    cdef void close(self) noexcept:
        # Anywhere else an answer is cut off, and the endpoint may know.
        if self.fd >= 0 and (self.state == IDLE or self.session.ended):
            say_farewell(self, self.session)
        Upstream.close(self)
