from proxy.core.routing cimport RequestView
from proxy.wire.http1 cimport Bytes, Head

cdef class HeadView(RequestView):
    cdef bint trusted        # the peer that sent it
    cdef Bytes p
    cdef const Head* head
