/* Byte classes of HTTP/1.1 and the loops that run over every byte of a head.
 *
 * RFC 9110 section 5.6.2 (token), 5.5 (field values), RFC 9112 section 3.2 (request targets). Field values are checked sixteen
 * bytes at a time, or eight where there is no SSE2. None of these reads at or beyond `end`.
 */
#ifndef SERINUS_SCAN_H
#define SERINUS_SCAN_H
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef const unsigned char *serinus_bytes;

/* 1: token; 3: the token byte '_', which some servers read as '-'. */
static const unsigned char SERINUS_TOKEN[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 3, ['`'] = 1, ['|'] = 1, ['~'] = 1,
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
    ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1,
    ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1,
    ['U'] = 1, ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
    ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1,
    ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1,
    ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

static inline int serinus_is_value(unsigned char c) { return (c >= 0x20 && c != 0x7f) || c == 9; }
static inline int serinus_is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
/* A target: visible ASCII but for the fragment sign. */
static inline int serinus_is_target(unsigned char c) { return c > 0x20 && c < 0x7f && c != '#'; }
/* uri-host with port, RFC 3986 section 3.2.2, without percent-decoding; a comma would be a list. */
static inline int serinus_is_authority(unsigned char c) {
    return (SERINUS_TOKEN[c] && c != '#' && c != '^' && c != '`' && c != '|') || c == '(' || c == ')' || c == ';' ||
           c == '=' || c == ':' || c == '[' || c == ']';
}

static inline int serinus_hex(unsigned char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The first byte that no field value may hold; one by one, for the end of what was read. */
static inline serinus_bytes serinus_skip_value_slowly(serinus_bytes p, serinus_bytes end) {
    while (p < end && serinus_is_value(*p)) p++;
    return p;
}

/* The first byte that no field value may hold. */
static inline serinus_bytes serinus_skip_value(serinus_bytes p, serinus_bytes end) {
#ifdef __SSE2__
    const __m128i last_control = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8(9), del = _mm_set1_epi8(0x7f);
    while (end - p >= 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)p);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(x, last_control), x); /* unsigned x <= 0x1f */
        int bad = _mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), control), _mm_cmpeq_epi8(x, del)));
        if (bad) return p + __builtin_ctz(bad);
        p += 16;
    }
#else
    const uint64_t ones = 0x0101010101010101ULL, high = 0x8080808080808080ULL;
    while (end - p >= 8) {
        uint64_t x, control, del;
        serinus_bytes stop = p + 8;
        memcpy(&x, p, 8);
        control = (x - ones * 0x20) & ~x & high;               /* a byte below 0x20 (or a borrow above one) */
        del = ((x ^ (ones * 0x7f)) - ones) & ~(x ^ (ones * 0x7f)) & high; /* a byte that is 0x7f */
        if ((control | del) && (p = serinus_skip_value_slowly(p, stop)) < stop) return p;
        p = stop; /* also after a tab or a false alarm of the borrow */
    }
#endif
    return serinus_skip_value_slowly(p, end);
}

static inline int serinus_same(serinus_bytes a, const char *lower, size_t n) { /* `a` holds only token bytes */
    size_t i;
    for (i = 0; i < n; i++)
        if ((a[i] | 0x20) != (unsigned char)lower[i]) return 0;
    return 1;
}

/* ASCII case-insensitive comparison of any bytes with lower-case ones. */
static inline int serinus_same_text(serinus_bytes a, const char *lower, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) {
        unsigned char c = a[i];
        if (c >= 'A' && c <= 'Z') c |= 0x20;
        if (c != (unsigned char)lower[i]) return 0;
    }
    return 1;
}

enum serinus_field {
    SERINUS_OTHER, SERINUS_HOST, SERINUS_CONNECTION, SERINUS_CONTENT_LENGTH, SERINUS_TRANSFER_ENCODING, SERINUS_TE,
    SERINUS_TRAILER, SERINUS_UPGRADE, SERINUS_EXPECT, SERINUS_HOP, SERINUS_FORWARDED_FOR, SERINUS_FORWARDED_PROTO,
    SERINUS_FORWARDED_HOST, SERINUS_FORWARDED_OTHER, SERINUS_FORWARDED, SERINUS_REQUEST_ID, SERINUS_OWN, SERINUS_COOKIE,
    SERINUS_USER_AGENT, SERINUS_ACCEPT, SERINUS_TRACEPARENT, SERINUS_TWIN, SERINUS_REFERER, SERINUS_CONTENT_TYPE, SERINUS_VERSION,
    SERINUS_VIA, SERINUS_MAX_FORWARDS
};

#define SERINUS_IS(lower, id) if (serinus_same(s, lower, sizeof(lower) - 1)) return id

/* Which field this is, of those that the proxy acts on. `s` is a valid token of n bytes. */
static inline int serinus_known_field(serinus_bytes s, size_t n) {
    switch (n) {
    case 2: SERINUS_IS("te", SERINUS_TE); break;
    case 3: SERINUS_IS("via", SERINUS_VIA); break;
    case 4: SERINUS_IS("host", SERINUS_HOST); break;
    case 6: SERINUS_IS("cookie", SERINUS_COOKIE); SERINUS_IS("accept", SERINUS_ACCEPT); SERINUS_IS("expect", SERINUS_EXPECT); break;
    case 7: SERINUS_IS("upgrade", SERINUS_UPGRADE); SERINUS_IS("trailer", SERINUS_TRAILER); SERINUS_IS("referer", SERINUS_REFERER); break;
    case 9: SERINUS_IS("forwarded", SERINUS_FORWARDED); SERINUS_IS("x-real-ip", SERINUS_FORWARDED_OTHER); break;
    case 10: SERINUS_IS("connection", SERINUS_CONNECTION); SERINUS_IS("user-agent", SERINUS_USER_AGENT);
             SERINUS_IS("keep-alive", SERINUS_HOP); break;
    case 11: SERINUS_IS("traceparent", SERINUS_TRACEPARENT); break;
    case 12: SERINUS_IS("x-request-id", SERINUS_REQUEST_ID); SERINUS_IS("content-type", SERINUS_CONTENT_TYPE);
             SERINUS_IS("max-forwards", SERINUS_MAX_FORWARDS); break;
    case 14: SERINUS_IS("content-length", SERINUS_CONTENT_LENGTH); SERINUS_IS("http2-settings", SERINUS_HOP); break;
    case 15: SERINUS_IS("x-forwarded-for", SERINUS_FORWARDED_FOR); break;
    case 16: SERINUS_IS("x-forwarded-host", SERINUS_FORWARDED_HOST); SERINUS_IS("x-forwarded-port", SERINUS_FORWARDED_OTHER);
             SERINUS_IS("proxy-connection", SERINUS_HOP); break;
    case 17: SERINUS_IS("transfer-encoding", SERINUS_TRANSFER_ENCODING); SERINUS_IS("x-forwarded-proto", SERINUS_FORWARDED_PROTO);
             SERINUS_IS("x-serinus-version", SERINUS_VERSION); break;
    case 18: SERINUS_IS("x-forwarded-prefix", SERINUS_FORWARDED_OTHER); SERINUS_IS("proxy-authenticate", SERINUS_HOP); break;
    case 19: SERINUS_IS("proxy-authorization", SERINUS_HOP); break;
    }
    if (n >= 10 && (s[0] | 0x20) == 'x' && serinus_same(s, "x-serinus-", 10)) return SERINUS_OWN;
    return SERINUS_OTHER;
}

/* The same, where a name with '_' that reads like one of these with '-' is a twin: never forwarded (X_Forwarded_For). */
static inline int serinus_field_of(serinus_bytes s, size_t n, int underscore) {
    unsigned char dashed[32]; /* as much as tells a name: all that are longer are told by their beginning */
    size_t i, told = n < sizeof dashed ? n : sizeof dashed;
    if (!underscore) return serinus_known_field(s, n);
    for (i = 0; i < told; i++) dashed[i] = s[i] == '_' ? '-' : s[i];
    return serinus_known_field(dashed, told) == SERINUS_OTHER ? SERINUS_OTHER : SERINUS_TWIN;
}

enum serinus_method {
    SERINUS_M_OTHER, SERINUS_GET, SERINUS_HEAD, SERINUS_POST, SERINUS_PUT, SERINUS_DELETE, SERINUS_OPTIONS, SERINUS_PATCH,
    SERINUS_TRACE, SERINUS_CONNECT
};

/* Methods are case-sensitive (RFC 9110 section 9.1). */
static inline int serinus_method_of(serinus_bytes s, size_t n) {
    switch (n) {
    case 3: if (!memcmp(s, "GET", 3)) return SERINUS_GET; if (!memcmp(s, "PUT", 3)) return SERINUS_PUT; break;
    case 4: if (!memcmp(s, "POST", 4)) return SERINUS_POST; if (!memcmp(s, "HEAD", 4)) return SERINUS_HEAD; break;
    case 5: if (!memcmp(s, "PATCH", 5)) return SERINUS_PATCH; if (!memcmp(s, "TRACE", 5)) return SERINUS_TRACE; break;
    case 6: if (!memcmp(s, "DELETE", 6)) return SERINUS_DELETE; break;
    case 7: if (!memcmp(s, "OPTIONS", 7)) return SERINUS_OPTIONS; if (!memcmp(s, "CONNECT", 7)) return SERINUS_CONNECT; break;
    }
    return SERINUS_M_OTHER;
}

/* A number of only digits below 2^63, or -1. */
static inline int64_t serinus_digits(serinus_bytes p, size_t n) {
    uint64_t v = 0;
    size_t i;
    if (n == 0) return -1;
    for (i = 0; i < n; i++) {
        if (!serinus_is_digit(p[i]) || v > (INT64_MAX - 9) / 10) return -1;
        v = v * 10 + (p[i] - '0');
    }
    return (int64_t)v;
}
#endif
