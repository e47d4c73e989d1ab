from proxy.wire.plane cimport Plane
from proxy.wire.poller cimport Socket

cdef class Listener(Socket):
    cdef Plane plane
    cdef readonly str name
    cdef public object context       # ssl.SSLContext or None
    cdef bytes redirect              # what follows the host; None: requests are served
    cdef bytes busy
    cdef int _accept(self) except -1
    cdef int _take(self, int fd, bytes peer) except -1
    cdef int _begin(self, int fd, bytes peer, bytes local) except -1
    cdef int _has_room(self, int fd) except -1
    cdef int _admit(self, int fd, bytes peer) except -1
    cdef int _turn_away(self, int fd) except -1
