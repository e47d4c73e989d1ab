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
        cdef Client client
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
            name = text[:length]
            if not self._admit(fd, name):
                continue
            client = Client.__new__(Client) if self.context is None else secured(self.context)
            client.peer = name
            memcpy(client.origin.peer, text, length)
            client.origin.peer_len = length
            client.origin.local_len = local_text(fd, client.origin.local)
            client.origin.trusted = self.plane.trusts(name)
            client.origin.tls = self.context is not None
            client.redirect = self.redirect
            client.start(self.plane, fd)
        return ACCEPT_MOST

    cdef int expired(self, int64_t now) except -1:
        """Accepting had failed: try again."""
        self.want(EPOLLIN)
        return 0

    cdef int _admit(self, int fd, object peer) except -1:
        """Count the connection if the limits allow it, else tell it why not and close it."""
        cdef Plane plane = self.plane
        if plane.clients < plane.max_clients or make_room(plane, monotonic()):
            count = plane.peers.get(peer, 0)
            if not plane.max_per_peer or count < plane.max_per_peer:
                plane.peers[peer] = count + 1  # also without a limit: one may be set while this connection lives
                return 1
        plane.slab.block.refused += 1
        try:
            if self.context is None:
                os.write(fd, self.busy)
        except OSError:
            pass  # it is closed at once, told or not
        os.close(fd)
        return 0
