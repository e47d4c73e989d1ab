/* SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed 64-bit hash that clients cannot steer without the key. */
#ifndef SERINUS_HASHING_H
#define SERINUS_HASHING_H
#include <stdint.h>
#include <string.h>

#define SERINUS_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SERINUS_ROUND                                                                                                   \
    v0 += v1; v1 = SERINUS_ROTL(v1, 13); v1 ^= v0; v0 = SERINUS_ROTL(v0, 32);                                          \
    v2 += v3; v3 = SERINUS_ROTL(v3, 16); v3 ^= v2;                                                                      \
    v0 += v3; v3 = SERINUS_ROTL(v3, 21); v3 ^= v0;                                                                      \
    v2 += v1; v1 = SERINUS_ROTL(v1, 17); v1 ^= v2; v2 = SERINUS_ROTL(v2, 32)

static inline uint64_t serinus_siphash(const unsigned char key[16], const unsigned char *in, size_t n) {
    uint64_t k0, k1, m, last = (uint64_t)n << 56;
    size_t i, whole = n & ~(size_t)7;
    memcpy(&k0, key, 8);
    memcpy(&k1, key + 8, 8);
    uint64_t v0 = k0 ^ 0x736f6d6570736575ULL, v1 = k1 ^ 0x646f72616e646f6dULL;
    uint64_t v2 = k0 ^ 0x6c7967656e657261ULL, v3 = k1 ^ 0x7465646279746573ULL;
    for (i = 0; i < whole; i += 8) {
        memcpy(&m, in + i, 8);
        v3 ^= m; SERINUS_ROUND; SERINUS_ROUND; v0 ^= m;
    }
    for (i = whole; i < n; i++) last |= (uint64_t)in[i] << (8 * (i - whole));
    v3 ^= last; SERINUS_ROUND; SERINUS_ROUND; v0 ^= last;
    v2 ^= 0xff; SERINUS_ROUND; SERINUS_ROUND; SERINUS_ROUND; SERINUS_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

/* A bijection that spreads every bit (SplitMix64, Steele, Lea and Flood 2014). */
static inline uint64_t serinus_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* (0, 1), from the upper 53 bits. */
static inline double serinus_unit(uint64_t x) { return ((double)(x >> 11) + 0.5) * (1.0 / 9007199254740992.0); }
#endif
