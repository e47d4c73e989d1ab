"""Listeners whose connections begin with the PROXY protocol: who the client is, said by the proxy before us.

Owns a connection until its header has come. Must not read a byte behind it: TLS or HTTP begins there, with a `Client`.

Rules:
1. Only peers in `trusted_proxies` are listened to, and those of a unix socket, which its folder lets in; all others are
   closed at once, since the header says who is served.
2. A header that is missing, wrong or late ends the connection. It is counted, and logged now and then.
3. A newcomer counts as a connection, for nobody; its client's own limit holds once the client is known.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t

from proxy.wire.listener cimport Listener
from proxy.wire.poller cimport Socket, monotonic

import logging
import os

from proxy.core.introduction import HEADER_MOST, read

log = logging.getLogger(__name__)

cdef extern from "sys/socket.h" nogil:
    int MSG_PEEK
    ssize_t recv(int fd, void* into, size_t size, int flags)

cdef enum:
    ROOM = 4112             # HEADER_MOST
    TELL_NS = 10000000000

assert HEADER_MOST == ROOM


cdef class IntroducedListener(Listener):
    """A listener behind other proxies. As `Listener`."""

    cdef int _take(self, int fd, bytes peer) except -1:
        cdef Newcomer newcomer
        if peer and not self.plane.trusts(peer):
            self.refuse(peer, "it is not in trusted_proxies")
            os.close(fd)
        elif self._has_room(fd):
            newcomer = Newcomer.__new__(Newcomer)
            newcomer.listener = self
            newcomer.peer = peer
            newcomer.start(fd)
        return 0

    cdef int refuse(self, bytes peer, object why) except -1:
        """Count a connection that is not served, and say why not."""
        cdef int64_t now = monotonic()
        self.plane.slab.block.unintroduced += 1
        if self.told == 0 or now - self.told > <int64_t> TELL_NS:
            self.told = now
            log.warning("listener %s: a connection from %s is closed: %s", self.name,
                        peer.decode() if peer else "a unix socket", why)
        return 0


cdef class Newcomer(Socket):
    """A connection that has to say first who it is from."""

    def __repr__(self):
        return f"<Newcomer {(self.peer or b'?').decode()} fd={self.fd}>"

    cdef int start(self, int fd) except -1:
        self.held = b""
        if not self.listener.plane.enter(self, fd):
            self.listener.plane.leave()
        return 0

    cdef void close(self) noexcept:
        if self.fd >= 0:
            Socket.close(self)
            self.listener.plane.leave()

    cdef int ready(self, uint32_t events) except -1:
        cdef char text[ROOM]
        cdef size_t held = len(self.held)
        cdef ssize_t n = recv(self.fd, text, ROOM - held, MSG_PEEK)
        if n < 0 and (errno == EAGAIN or errno == EINTR):
            return 0
        if n <= 0:
            return self._refuse("it ended before its PROXY header")
        whole = self.held + text[:n]
        try:
            said = read(whole)
        except ValueError as exc:
            return self._refuse(exc)
        # What was looked at is taken, as far as it is the header: nothing is left to be told of again.
        recv(self.fd, text, n if said is None else said.size - held, 0)
        if said is not None:
            return self._hand_over(said)
        self.held = whole
        return 0

    cdef int _hand_over(self, said) except -1:
        """The header is whole: the connection goes on as that of a client."""
        cdef IntroducedListener listener = self.listener
        cdef bytes peer = self.peer if said.is_own else said.peer.encode()
        cdef int fd = self.fd
        self.poller.mute(fd)
        self.poller.remove(fd)
        self.fd = -1
        self.listener.plane.leave()
        if listener._admit(fd, peer):
            listener._begin(fd, peer, None if said.is_own else said.local.encode())
        return 0

    cdef int _refuse(self, object why) except -1:
        self.listener.refuse(self.peer, why)
        self.close()
        return 0

    cdef int expired(self, int64_t now) except -1:
        return self._refuse("its PROXY header did not come in time")
