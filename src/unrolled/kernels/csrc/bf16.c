/* Layers whose products read bf16 and add up in fp32; states, gates and their gradients over time
 * are in fp32. */
#include "numbers.h"

/* Any processor: numbers widened to fp32. */
#define FACTOR bf16
#define TOGETHER 2
#define ADD(sum, a, b)                                                                             \
    do {                                                                                           \
        const bits both = *(const bits *)(b);                                                      \
        sum += widened((a)[0]) * (vector)(both << 16);                                             \
        sum += widened((a)[1]) * (vector)(both & 0xffff0000u);                                     \
    } while (0)
#define WAY(x) x##_widened
#define TARGET
#include "registers.h"

#if WIDTH == 16
#include <immintrin.h>

/* AVX-512's bf16: two products and their sums in one instruction. */
#define FACTOR bf16
#define TOGETHER 2
#define ADD(sum, a, b)                                                                             \
    do {                                                                                           \
        int two;                                                                                   \
        memcpy(&two, a, sizeof two);                                                               \
        sum = (vector)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)_mm512_set1_epi32(two),            \
                                       (__m512bh)_mm512_loadu_si512(b));                           \
    } while (0)
#define WAY(x) x##_by_pairs
#define TARGET __attribute__((target("avx512bf16")))
#include "registers.h"
#endif
#include "tiles.h"

typedef void Multiply(long, long, long, const bf16 *, const bf16 *, const float *, float *);
static Multiply *multiply_bf16 = multiply_widened;
static int way;

/* Multiply from now on by tiles (2), by pairs (1) or widened (0); 0, and nothing is changed, where the
 * processor or the system does not let it. */
int take_way(int wanted) {
    Multiply *taken = wanted == 0 ? multiply_widened : 0;
#if WIDTH == 16
    __builtin_cpu_init();
    if (wanted == 1 && __builtin_cpu_supports("avx512bf16")) taken = multiply_by_pairs;
#endif
#ifdef HAS_TILES
    if (wanted == 2 && has_tiles()) taken = multiply_by_tiles;
#endif
    if (taken) multiply_bf16 = taken, way = wanted;
    return taken != 0;
}

int way_taken(void) { return way; }

#define NUMBER bf16
#define DEEP(inner) (((inner) + 31) / 32 * 32)
#define WIDE(x) widened(x)
#define NARROW(x) narrowed(x)
#define TANH rough_tanh
#define NAME(x) x##_bf16
#define FEED(at, h) fed[at] = narrowed(h)
#include "layer.h"

/* A matrix [inner, columns] as products read it: PANEL columns after the other, of the last ones maybe
 * half as many, each with two inner numbers side by side; zeros beyond the last of either;
 * padded(columns) * DEEP(inner). */
void pack_bf16(long inner, long columns, const float *restrict from, uint32_t *restrict to) {
    for (long first = 0; first < padded(columns); first += PANEL) {
        const long left = padded(columns) - first, wide = left < PANEL ? left : PANEL;
        const long there = columns - first < wide ? columns - first : wide;
        for (long k = 0; k < DEEP(inner); k += 2, to += wide) {
            const float *one = from + k * columns + first, *other = one + columns;
            for (long j = 0; j < there && k < inner; j++) to[j] = narrowed(one[j]);
            for (long j = 0; j < there && k + 1 < inner; j++)
                to[j] |= (uint32_t)narrowed(other[j]) << 16;
            for (long j = k < inner ? there : 0; j < wide; j++) to[j] = 0;
        }
    }
}
