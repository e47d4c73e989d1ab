from libc.stdint cimport int64_t

from proxy.wire.plane cimport Plane

cdef bint make_room(Plane plane, int64_t now) except -1
