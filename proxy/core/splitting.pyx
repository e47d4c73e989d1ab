"""The split of requests without a key: every version has its share at every moment, from the first request on.

Rules:
1. A version's credit is its share of the requests so far less those it got. Credits add up to zero.
2. A version may be chosen when its credit, with its share of this request, is above zero; of those, the one whose credit
   would reach one first is chosen (earliest deadline first). A fluid split always satisfies both bounds, so some integral
   one does, and earliest deadline first finds it (the chairman assignment, Tijdeman 1980). So each credit stays between -1
   and 1, and over any run of requests each version is within 2 of its share, whatever the weights.
3. The start is a random place in the sequence, so that many workers, and restarts, do not all begin alike.
4. New weights keep the credits: a change does not begin the sequence anew.
5. Weight 0 is never chosen. All arithmetic is on integers, in units of 2**-48 of a request: nothing drifts.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint64_t

cdef int64_t ONE = <int64_t> 1 << 48


def _shares(weights) -> list:
    """Integers that add up to ONE, in proportion; a weight above zero gets at least one unit.

    Raises ValueError when a weight is negative or not finite, or when all are zero.
    """
    if any(not 0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise ValueError(f"weights must be finite, not negative and not all zero: {list(weights)}")
    whole = 1 << 48
    largest = max(weights)
    ratios = [weight / largest for weight in weights]
    total = sum(ratios)
    shares = [max(1, int(ratio / total * whole)) if ratio or weight else 0 for ratio, weight in zip(ratios, weights)]
    shares[shares.index(max(shares))] += whole - sum(shares)
    return shares


cdef class Splitter:
    """Chooses among `weights`. `place` is where in the sequence to begin: any random integer of 32 bits."""

    def __cinit__(self, weights, place=0):
        cdef int i
        self.count = len(weights)
        self.share = <int64_t*> PyMem_Malloc(self.count * sizeof(int64_t))
        self.credit = <int64_t*> PyMem_Malloc(self.count * sizeof(int64_t))
        if self.share == NULL or self.credit == NULL:
            raise MemoryError
        for i, share in enumerate(_shares(weights)):
            self.share[i] = share
            self.credit[i] = <int64_t> ((<uint64_t> share * <uint64_t> (place & 0xffffffff)) & <uint64_t> (ONE - 1))
        self._balance_start()

    def __dealloc__(self):
        PyMem_Free(self.share)
        PyMem_Free(self.credit)

    def _balance_start(self):
        """Give the whole requests that the fractions add up to those versions whose deadlines come first."""
        due = sorted((i for i in range(self.count) if self.share[i]),
                     key=lambda i: (ONE - self.credit[i]) / self.share[i])
        for i in due[:sum(self.credit[i] for i in range(self.count)) // ONE]:
            self.credit[i] -= ONE

    def reweigh(self, weights) -> None:
        """Go on with other weights for the same versions. Raises ValueError as the constructor does."""
        cdef int64_t surplus = 0
        if len(weights) != self.count:
            raise ValueError(f"{self.count} versions, {len(weights)} weights")
        for i, share in enumerate(_shares(weights)):
            self.share[i] = share
            if share == 0:
                surplus += self.credit[i]
                self.credit[i] = 0
        for i in sorted(range(self.count), key=lambda i: -self.share[i]):
            if self.share[i] and surplus:
                room = max(min(self.credit[i] + surplus, ONE - 1), 1 - ONE) - self.credit[i]
                self.credit[i] += room
                surplus -= room

    cdef int choose(self) noexcept:
        cdef int i
        cdef int best = -1
        cdef double deadline
        cdef double first = 0
        for i in range(self.count):
            if self.share[i] == 0:
                continue
            self.credit[i] += self.share[i]
            if self.credit[i] > 0:
                deadline = <double> (ONE - self.credit[i]) / <double> self.share[i]
                if best < 0 or deadline < first:
                    best = i
                    first = deadline
        self.credit[best] -= ONE
        return best

    def __next__(self) -> int:
        return self.choose()

    def __iter__(self):
        return self

    def credits(self) -> list:
        """What each version is owed, in requests (for people and tests)."""
        return [self.credit[i] / ONE for i in range(self.count)]
