from proxy.wire.http1 cimport Bytes, Head

cdef int drop_reserved(Bytes p, Head* head, list names) except -1
