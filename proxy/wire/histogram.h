/* Log-linear latency bins: nanoseconds to a bin index, in a few instructions.
 *
 * Unit: 1.024 us (a shift by 10). Below 64 units one bin a unit; above, 32 bins an octave, so a bin is at most 1/32 of its
 * value wide and its middle at most 1.6 % off (HdrHistogram, G. Tene). From 50 us to 134 s; the last bin takes what is longer.
 * proxy/core/histogram.py gives the same bounds to readers; a test compares the two.
 */
#ifndef SERINUS_HISTOGRAM_H
#define SERINUS_HISTOGRAM_H
#include <stdint.h>

#define SERINUS_LINEAR 64
#define SERINUS_OCTAVES 21
#define SERINUS_BINS (SERINUS_LINEAR + 32 * SERINUS_OCTAVES + 1)

static inline int serinus_bin(int64_t ns) {
    uint64_t u = ns > 0 ? (uint64_t)ns >> 10 : 0;
    int e;
    if (u < SERINUS_LINEAR) return (int)u;
    e = 63 - __builtin_clzll(u);
    if (e >= 6 + SERINUS_OCTAVES) return SERINUS_BINS - 1;
    return SERINUS_LINEAR + ((e - 6) << 5) + (int)((u >> (e - 5)) & 31);
}
#endif
