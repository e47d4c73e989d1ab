/* Edges for libFuzzer, from what gcc has for it.
 *
 * gcc calls __sanitizer_cov_trace_pc at every edge (-fsanitize-coverage=trace-pc); libFuzzer wants a table of counters and
 * a table of the addresses that they belong to (as clang's -fsanitize-coverage=inline-8bit-counters,pc-table makes them).
 * Each address gets the first free place of an open hash table, and that place is its counter.
 *
 * Linked together with libFuzzer (build.py), in front of whose own __sanitizer_cov_trace_pc, which only complains, this
 * one comes.
 */
#include <stdint.h>

#define PLACES (1u << 15)

void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *stop);
void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *stop);

static uint8_t counters[PLACES];
static uintptr_t addresses[PLACES][2]; /* the address, and flags that say nothing */
static unsigned taken;

void __sanitizer_cov_trace_pc(void) {
    uintptr_t at = (uintptr_t)__builtin_return_address(0);
    uint32_t place = (uint32_t)(at ^ at >> 15) & (PLACES - 1);
    while (addresses[place][0] != at) {
        if (addresses[place][0] == 0) {
            if (taken >= PLACES / 4 * 3) return;
            taken++;
            addresses[place][0] = at;
            break;
        }
        place = (place + 1) & (PLACES - 1);
    }
    counters[place]++;
}

/* gcc reports comparisons of floating point too, which libFuzzer does not know. */
void __sanitizer_cov_trace_cmpf(float one, float other) { (void)one, (void)other; }
void __sanitizer_cov_trace_cmpd(double one, double other) { (void)one, (void)other; }

/* Make the tables known to libFuzzer. */
void serinus_register_edges(void) {
    __sanitizer_cov_8bit_counters_init(counters, counters + PLACES);
    __sanitizer_cov_pcs_init(&addresses[0][0], &addresses[PLACES][0]);
}
