"""Which version a key belongs to: salted hash, then a weighted race that only moves keys towards what grew.

Rules:
1. Deterministic: the same salt, key, names and weights give the same version in every worker and on every node.
2. Monotone: each version draws one exponential time per key with its weight as the rate, and the first wins (weighted
   rendezvous hashing; Thaler and Ravishankar 1998). Raising a weight against the others only brings keys to that version;
   for two versions this is the interval [0, share) of the hash.
3. Weight 0 never wins; a version that has all the weight always does.
4. Keys are hashed with SipHash-2-4 under a secret salt, so no client can choose its cohort, and a new salt is a new draw.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport log
from libc.stdint cimport uint64_t

cdef const unsigned char* NAMES = b"serinus versions"


cdef int rendezvous(uint64_t key, const uint64_t* names, const double* weights, int count) noexcept nogil:
    """The index of the winner, or -1 when every weight is 0."""
    cdef int best = -1
    cdef double first = 0
    cdef double time
    cdef int i
    for i in range(count):
        if weights[i] > 0:
            time = -log(unit(mix(key ^ names[i]))) / weights[i]
            if best < 0 or time < first:
                best = i
                first = time
    return best


def key_hash(bytes salt, bytes key) -> int:
    """The hash of a key under a 16-byte salt. Raises ValueError for another length of salt."""
    if len(salt) != 16:
        raise ValueError(f"a salt has 16 bytes, this one {len(salt)}")
    return siphash(salt, key, len(key))


def name_hash(bytes name) -> int:
    """A version's own number in the race."""
    return siphash(NAMES, name, len(name))


def cohort(bytes salt, bytes key, weights) -> int | None:
    """The index into `weights` (pairs of name and weight) that this key belongs to; None when every weight is 0."""
    cdef int n = len(weights)
    cdef uint64_t* names = <uint64_t*> PyMem_Malloc((n + 1) * sizeof(uint64_t))
    cdef double* values = <double*> PyMem_Malloc((n + 1) * sizeof(double))
    if names == NULL or values == NULL:
        raise MemoryError
    try:
        for i, (name, weight) in enumerate(weights):
            names[i] = name_hash(name.encode())
            values[i] = weight
        winner = rendezvous(key_hash(salt, key), names, values, n)
        return None if winner < 0 else winner
    finally:
        PyMem_Free(names)
        PyMem_Free(values)
