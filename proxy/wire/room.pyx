"""Room for one more client when there are as many as there may be.

Owns which connections go first: idle ones, the newest before the older, since a client that has just got its answer is the
least surprised by an end. One that is asking, or waits for an answer, is never touched.

A look at all connections is not free, so several go at once, and when none is idle nobody looks again for a while, or
until one is.
"""

from libc.stdint cimport int64_t

from proxy.wire.client cimport Client
from proxy.wire.plane cimport Plane

import logging
from operator import itemgetter

log = logging.getLogger(__name__)

cdef enum:
    AT_ONCE = 32
    LOOK_AGAIN_NS = 100000000
    TELL_NS = 10000000000


cdef bint make_room(Plane plane, int64_t now) except -1:
    """Close idle connections; false when there is none."""
    cdef Client client
    cdef list idle = []
    cdef int fd
    if now < plane.crowded_until:
        return False
    for fd in range(plane.poller.top):
        if isinstance(plane.poller.sockets[fd], Client):
            client = <Client> plane.poller.sockets[fd]
            if client.is_idle():
                # The deadline of an idle connection counts from its last answer.
                idle.append((plane.poller.deadlines[fd], client))
    idle.sort(key=itemgetter(0), reverse=True)
    for _, client in idle[:AT_ONCE]:
        client.close()
    if not idle:
        plane.crowded_until = now + LOOK_AGAIN_NS
    if plane.crowd_told == 0 or now - plane.crowd_told > <int64_t> TELL_NS:
        plane.crowd_told = now
        log.warning("there are as many client connections as there may be (%d): %s", plane.max_clients,
                    "idle ones are closed for new ones" if idle else "new ones are refused")
    return bool(idle)
