"""Clients that speak TLS: the handshake, then the same as others do, encrypted.

Owns what differs from a plain connection: the four ways in which bytes come and go, and the handshake before. Must not
know HTTP, but for the one sentence to a client that speaks HTTP without TLS.

The handshake has the `head_timeout` as a whole; the first request has it anew.
"""

from libc.stdint cimport uint32_t

from proxy.wire.client cimport Client
from proxy.wire.poller cimport EPOLLIN, EPOLLOUT, READ_SIZE, Socket, iovec, monotonic
from proxy.wire.request cimport part_of
from proxy.wire.tls cimport Session, say_farewell, send_sealed, transmit

from proxy.core.faults import render
from proxy.core.outcome import Reason
from proxy.wire.identity import identity_lines

cdef enum:
    LINGER_BYTES = 65536

cdef bytes PLAIN_HTTP = render(Reason.PLAIN_HTTP, "", wants_json=False, head_only=False, close=True)


cdef Client secured(object context):
    """A client that begins with a handshake."""
    cdef TlsClient client = TlsClient.__new__(TlsClient)
    client.session = Session(context, server_side=True)
    return client


cdef class TlsClient(Client):
    """One TLS connection from a client."""

    cdef int ready(self, uint32_t events) except -1:
        if self.session.shaking and not self.closing:
            return self._shake(events)
        return Client.ready(self, events)

    cdef int _shake(self, uint32_t events) except -1:
        cdef int answer
        if events & EPOLLOUT and self.pending_end and self.flush() < 0:
            return self._give_up()
        if not events & ~EPOLLOUT:
            return 0
        answer = <int> self.session.receive(self.fd)
        if answer == -2:
            return 0
        if answer <= 0:
            return self._give_up()
        answer = self.session.shake()
        if answer < 0:
            self.plane.slab.block.tls_failures += 1
            if self.session.error.reason == "HTTP_REQUEST":
                self.session.unsent()  # an alert is of no use to who speaks no TLS
                return self._say_plainly(PLAIN_HTTP)
            transmit(self, self.session.unsent())
            self.close()
            return 0
        if transmit(self, self.session.unsent()) < 0:
            return self._give_up()
        if answer > 0:
            self.plane.slab.block.tls_handshakes += 1
            self.deadline(monotonic() + self.plane.head_timeout)
            self._learn()
            if self.session.has_unread():
                self._read()
        return 0

    cdef int _learn(self) except -1:
        """What every request of this connection is told or held against."""
        context = self.session.connection.context
        if context.by_name:
            self.certificate = context
        if context.client_headers:
            self.identity = identity_lines(self.session.connection, context.client_headers) or None
        return 0

    cdef int _give_up(self) except -1:
        """The client went away before it had shaken hands."""
        self.plane.slab.block.tls_failures += 1
        self.close()
        return 0

    cdef int _say_plainly(self, bytes answer) except -1:
        """Send an answer without TLS, and nothing else."""
        cdef iovec part = part_of(<const char*> answer, len(answer))
        cdef int sent = Socket.send(self, &part, 1)
        self.closing = self.lingering = True
        self.linger_left = LINGER_BYTES
        if sent < 0:
            self.close()
        elif sent == 0:
            self._end(True)
        return 0

    cdef ssize_t read(self, unsigned char* into, size_t size) noexcept:
        cdef ssize_t n
        if self.session.shaking:  # it lingers after an answer without TLS
            return Socket.read(self, into, size)
        n = self.session.read(self.fd, into, READ_SIZE)  # what was decrypted is not left inside; there is room for it
        if transmit(self, self.session.unsent()) < 0:
            return -1
        return n

    cdef int send(self, iovec* parts, int count) except -2:
        return send_sealed(self, self.session, parts, count)

    cdef void end_sending(self) noexcept:
        say_farewell(self, self.session)
        Socket.end_sending(self)

    cdef void close(self) noexcept:
        if self.fd >= 0 and not self.cut_off and self.pending_end == 0:
            say_farewell(self, self.session)
        Client.close(self)

    cdef void reset(self) noexcept:
        self.cut_off = True
        Client.reset(self)
