"""The sockets that clients come in by.

Owns accepting, and which connections are too many. Must not read from clients.
"""

from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, errno
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from proxy.wire.client cimport Client
from proxy.wire.plane cimport Plane
from proxy.wire.poller cimport (
    EPOLLIN, Socket, accept_from, local_text, monotonic, no_delay, peer_text, sockaddr_storage,
)
from proxy.wire.room cimport make_room
from proxy.wire.tls_client cimport secured

import os

from proxy.core.faults import render
from proxy.core.outcome import Reason

cdef enum:
    ACCEPT_MOST = 64        # connections taken in one event
    ACCEPT_PAUSE_NS = 100000000  # when descriptors or the memory of the kernel have run out


cdef class Listener(Socket):
    """A listening socket. It owns `fd`, the only copy in this process: while one is open, clients connect and wait.

    `context` is the ssl.SSLContext of connections that begin from now on; None: they are plain. `redirect`: every request
    is sent to https, on the port that this says (":8443", or empty). Raises OSError when the socket cannot be watched.
    """

    def __init__(self, Plane plane, int fd, str name, context=None, bytes redirect=None):
        self.plane = plane
        self.name = name
        self.context = context
        self.redirect = redirect
        self.busy = render(Reason.TOO_MANY_CONNECTIONS, "", wants_json=False, head_only=False, close=True)
        os.set_blocking(fd, False)
        no_delay(fd)
        self.open(plane.poller, fd, EPOLLIN)

    def stop(self) -> None:
        """Take no more connections than those that wait already."""
        while self.fd >= 0 and self._accept() == ACCEPT_MOST:
            pass
        self.close()

    cdef int ready(self, uint32_t events) except -1:
        self._accept()
        return 0

    cdef int _accept(self) except -1:
        """Take the connections that wait, at most ACCEPT_MOST; how many it were."""
        cdef sockaddr_storage peer
        cdef char text[64]
        cdef int length
        cdef int fd
        cdef int i
        for i in range(ACCEPT_MOST):
            fd = accept_from(self.fd, &peer)
            if fd < 0:
                if errno == ECONNABORTED or errno == EINTR:
                    continue
                if errno == EAGAIN:
                    return i
                if errno == EMFILE or errno == ENFILE:
                    self.plane.slab.block.refused += 1
                    if make_room(self.plane, monotonic()):
                        continue
                # What waits goes on waiting, and would be reported at once, again and again.
                self.want(0)
                self.deadline(monotonic() + ACCEPT_PAUSE_NS)
                return i
            length = peer_text(&peer, text)
            self._take(fd, text[:length])
        return ACCEPT_MOST

    cdef int _take(self, int fd, bytes peer) except -1:
        """A connection has come from this address (empty: unknown)."""
        if self._has_room(fd) and self._admit(fd, peer):
            self._begin(fd, peer, None)
        return 0

    cdef int _begin(self, int fd, bytes peer, bytes local) except -1:
        """Serve a client that was admitted. `local`: where it connected to, as others say; None: to this end of it."""
        cdef Client client = Client.__new__(Client) if self.context is None else secured(self.context)
        client.peer = peer
        memcpy(client.origin.peer, <const char*> peer, len(peer))
        client.origin.peer_len = <int> len(peer)
        if local is None:
            client.origin.local_len = local_text(fd, client.origin.local)
        else:
            memcpy(client.origin.local, <const char*> local, len(local))
            client.origin.local_len = <int> len(local)
        client.origin.trusted = self.plane.trusts(peer)
        client.origin.tls = self.context is not None
        client.redirect = self.redirect
        return client.start(self.plane, fd)

    cdef int expired(self, int64_t now) except -1:
        """Accepting had failed: try again."""
        self.want(EPOLLIN)
        return 0

    cdef int _has_room(self, int fd) except -1:
        """Is there room for one more connection? Else tell it and close it."""
        cdef Plane plane = self.plane
        return 1 if plane.clients < plane.max_clients or make_room(plane, monotonic()) else self._turn_away(fd)

    cdef int _admit(self, int fd, bytes peer) except -1:
        """Count the connection for its client if the limit allows it, else tell it why not and close it."""
        cdef Plane plane = self.plane
        count = plane.peers.get(peer, 0)
        if plane.max_per_peer and count >= plane.max_per_peer:
            return self._turn_away(fd)
        plane.peers[peer] = count + 1  # also without a limit: one may be set while this connection lives
        return 1

    cdef int _turn_away(self, int fd) except -1:
        self.plane.slab.block.refused += 1
        try:
            if self.context is None:
                os.write(fd, self.busy)
        except OSError:
            pass  # it is closed at once, told or not
        os.close(fd)
        return 0
