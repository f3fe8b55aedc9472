/* All steps of a layer in fp32, products included, forwards and backwards in a call each.
 *
 * No sequence reads another's state, so threads share the sequences and need not wait for each
 * other at any step. */
#include "numbers.h"

#define NUMBER float
#define WIDE(x) (x)
#define NARROW(x) (x)
#define TANH exact_tanh
#define NAME(x) x##_fp32
#define FEED(at, h) (void)narrow
#include "equations.h"

/* Vectors of WIDTH numbers. A product's sums are computed for BLOCK rows and PANEL columns at a time,
 * which is what the registers hold (12 of the 16 vectors of AVX2). Each sum goes over the inner index
 * in order, so it is the same for any width of vectors, number of rows and number of threads. */
#ifndef WIDTH
#ifdef __AVX512F__
#define WIDTH 16
#else
#define WIDTH 8
#endif
#endif
#define PANEL (2 * WIDTH)
#define BLOCK 6

typedef float vector __attribute__((vector_size(WIDTH * sizeof(float)), aligned(4), may_alias));

/* How many numbers a row of so many columns takes in whole vectors. */
long padded(long columns) { return (columns + WIDTH - 1) / WIDTH * WIDTH; }

/* A matrix as products read it, [inner, columns] with the strides given: PANEL columns after the
 * other, of the last ones maybe half as many, zeros beyond the last; padded(columns) * inner. */
void pack(long inner, long columns, long of_inner, long of_column, const float *restrict from,
          float *restrict to) {
    for (long first = 0; first < padded(columns); first += PANEL) {
        const long left = padded(columns) - first, wide = left < PANEL ? left : PANEL;
        for (long k = 0; k < inner; k++)
            for (long j = 0; j < wide; j++)
                *to++ = first + j < columns ? from[k * of_inner + (first + j) * of_column] : 0.0f;
    }
}

/* One block of a product: vectors is 1 or 2; the compiler sees both numbers and unrolls. */
static inline __attribute__((always_inline)) void block(int rows, int vectors, long inner,
                                                        const float *restrict a, long a_stride,
                                                        const float *restrict b,
                                                        const float *restrict bias,
                                                        float *restrict c, long c_stride) {
    vector sums[BLOCK][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sums[r][v] = *(const vector *)(bias + v * WIDTH);
    for (long k = 0; k < inner; k++, b += vectors * WIDTH)
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                sums[r][v] += a[r * a_stride + k] * *(const vector *)(b + v * WIDTH);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) *(vector *)(c + r * c_stride + v * WIDTH) = sums[r][v];
}

#define ROWS(rows)                                                                                 \
    case rows:                                                                                     \
        if (wide == PANEL)                                                                         \
            block(rows, 2, inner, a_row, a_stride, b, bias + column, c_row, c_stride);             \
        else                                                                                       \
            block(rows, 1, inner, a_row, a_stride, b, bias + column, c_row, c_stride);             \
        break;

/* c = bias + a b: a of [rows, inner], b packed, c of [rows, columns] with padded columns. */
static void multiply(long rows, long inner, long columns, const float *a, long a_stride,
                     const float *b, const float *bias, float *c, long c_stride) {
    const long blocks = (rows + BLOCK - 1) / BLOCK;
    for (long column = 0; column < columns; column += PANEL) {
        const long left = padded(columns) - column, wide = left < PANEL ? left : PANEL;
        for (long i = 0, row = 0; i < blocks; i++) {
            const long end = rows * (i + 1) / blocks;
            const float *a_row = a + row * a_stride;
            float *c_row = c + row * c_stride + column;
            switch (end - row) { ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) }
            row = end;
        }
        b += wide * inner;
    }
}

/* A layer. Tensors are [rows of all steps, numbers] or [sequences, numbers], in row order, without
 * gaps; the sequences are in the order of their length, the longest first. */
typedef struct {
    long size, steps;
    const long *sequences; /* how many each step has */
    long parts;            /* the sequences are shared out in so many parts ... */
    const long *cuts;      /* ... from cuts[i] to cuts[i + 1] */
    long taken;            /* parts that a thread has taken; 0 at first */
    long keeps;            /* whether kept is of every step, or of one at a time */
    const float *weight;   /* packed, for the pass that is meant */
    const float *bias;     /* of the product, padded; zeros in the backward pass */
    float *product;        /* what the last product gave, [sequences, padded columns]; zeros before a
                            * backward pass, since nothing comes after a sequence's last step */
    /* As in equations.h, from here on; first_h and first: before the first step. For a cell of one
     * state memory is out, and first is first_h. */
    const float *projected, *first_h, *first;
    float *kept, *memory, *out;
    const float *given, *given_memory; /* or null */
    float *carried, *to_product, *to_projected;
} Layer;

/* A cell's passes over the sequences from `from` to `to`. */
#define CELL(cell, gates, keep)                                                                    \
    static void cell##_forward_part(const Layer *l, long from, long to) {                          \
        const long size = l->size, wide = padded(gates * size);                                    \
        const float *h = l->first_h, *before = l->first;                                           \
        for (long t = 0, start = 0; t < l->steps && l->sequences[t] > from; t++) {                 \
            const long end = l->sequences[t] < to ? l->sequences[t] : to;                          \
            multiply(end - from, size, gates * size, h + from * size, size, l->weight, l->bias,    \
                     l->product + from * wide, wide);                                              \
            for (long r = from; r < end; r++) {                                                    \
                const long at = start + r, slot = l->keeps ? at : r;                               \
                cell##_forward_row_fp32(size, l->product + r * wide,                               \
                                        l->projected + at * gates * size, before + r * size,       \
                                        l->kept + slot * keep * size, l->memory + at * size,       \
                                        l->out + at * size, 0);                                    \
            }                                                                                      \
            h = l->out + start * size;                                                             \
            before = l->memory + start * size;                                                     \
            start += l->sequences[t];                                                              \
        }                                                                                          \
    }                                                                                              \
    static void cell##_backward_part(const Layer *l, long from, long to) {                         \
        const long size = l->size, wide = padded(size);                                            \
        long start = 0;                                                                            \
        for (long t = 0; t < l->steps; t++) start += l->sequences[t];                              \
        for (long t = l->steps - 1; t >= 0; t--) {                                                 \
            start -= l->sequences[t];                                                              \
            const long end = l->sequences[t] < to ? l->sequences[t] : to;                          \
            if (end <= from) continue;                                                             \
            const float *before = t ? l->memory + (start - l->sequences[t - 1]) * size : l->first; \
            for (long r = from; r < end; r++) {                                                    \
                const long at = start + r;                                                         \
                cell##_backward_row_fp32(                                                          \
                    size, l->kept + at * keep * size, before + r * size, l->memory + at * size,    \
                    l->given ? l->given + at * size : l->bias, l->product + r * wide,              \
                    l->given_memory ? l->given_memory + at * size : l->bias,                       \
                    l->carried + r * size, l->to_product + at * gates * size,                      \
                    l->to_projected + at * gates * size);                                          \
            }                                                                                      \
            multiply(end - from, gates * size, size,                                               \
                     l->to_product + (start + from) * gates * size, gates * size, l->weight,       \
                     l->bias, l->product + from * wide, wide);                                     \
        }                                                                                          \
    }                                                                                              \
    static void cell##_forward_parts(void *layer) { PARTS(cell##_forward_part, layer) }            \
    static void cell##_backward_parts(void *layer) { PARTS(cell##_backward_part, layer) }          \
    void cell##_forward_layer(Layer *l, Parallel parallel) {                                       \
        run(cell##_forward_parts, l, parallel);                                                    \
    }                                                                                              \
    void cell##_backward_layer(Layer *l, Parallel parallel) {                                      \
        run(cell##_backward_parts, l, parallel);                                                   \
    }

/* What each thread does: a part after the other, until none is left. */
#define PARTS(pass, layer)                                                                         \
    Layer *l = layer;                                                                              \
    for (long i; (i = __atomic_fetch_add(&l->taken, 1, __ATOMIC_RELAXED)) < l->parts;)             \
        pass(l, l->cuts[i], l->cuts[i + 1]);

/* OpenMP's own function for a parallel region, of the library that PyTorch has loaded: threads of
 * another one would wait for a processor while PyTorch's spin. */
typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);

static void run(void (*parts)(void *), Layer *l, Parallel parallel) {
    if (l->parts == 1)
        parts(l);
    else
        parallel(parts, l, (unsigned)l->parts, 0);
}

CELL(lstm, 4, 4)
CELL(gru, 3, 4)
CELL(tanh, 1, 0)
CELL(relu, 1, 0)
