/* Layers in fp32. */
#include "numbers.h"

#define FACTOR float
#define TOGETHER 1
#define ADD(sum, a, b) sum += *(a) * *(const vector *)(b)
#define WAY(x) x##_fp32
#define TARGET
#include "registers.h"

/* For code that is compiled by itself. */
void product_fp32(long rows, long inner, long columns, const float *a, const float *b,
                  const float *bias, float *c) {
    multiply_fp32(rows, inner, columns, a, b, bias, c);
}

long whole_vectors(long columns) { return padded(columns); }

#define NUMBER float
#define DEEP(inner) (inner)
#define WIDE(x) (x)
#define NARROW(x) (x)
#define TANH exact_tanh
#define NAME(x) x##_fp32
#define FEED(at, h) (void)fed
#include "layer.h"

/* A matrix [inner, columns] as products read it: PANEL columns after the other, of the last ones maybe
 * half as many, zeros beyond the last; padded(columns) * inner. */
void pack_fp32(long inner, long columns, const float *restrict from, float *restrict to) {
    for (long first = 0; first < padded(columns); first += PANEL) {
        const long left = padded(columns) - first, wide = left < PANEL ? left : PANEL;
        const long there = columns - first < wide ? columns - first : wide;
        for (long k = 0; k < inner; k++, to += wide) {
            for (long j = 0; j < there; j++) to[j] = from[k * columns + first + j];
            for (long j = there; j < wide; j++) to[j] = 0.0f;
        }
    }
}
