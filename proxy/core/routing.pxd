cdef class RequestView:
    cdef bytes header(self, bytes name)
    cdef bytes cookie(self, bytes name)
    cdef bytes query(self, bytes name)

cdef class Rule:
    cdef readonly int index
    cdef readonly int service          # index into the snapshot's services
    cdef readonly str version          # forced version, or empty
    cdef readonly bint by_condition    # it asks for a header, a cookie or a query parameter
    cdef readonly bint refuses_hidden_slashes
    cdef readonly bint traces          # it names the method TRACE
    cdef frozenset methods
    cdef tuple conditions
    cdef bint holds(self, bytes method, RequestView view) except -1

cdef class Router:
    cdef readonly Rule only            # the one rule that takes everything, when there is just that
    cdef list levels
    cdef Rule find(self, bytes host, bytes path, bytes method, RequestView view)
