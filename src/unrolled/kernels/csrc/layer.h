/* All steps of a layer, products included, forwards and backwards in a call each.
 *
 * No sequence reads another's state, so threads share the sequences and need not wait for each
 * other at any step.
 *
 * The file is included once for each type that products read, with what equations.h asks for, and
 *   DEEP(inner)  how many numbers a product reads of a row of so many, zeros beyond
 *   NAME(multiply)(rows, inner, columns, a, b, bias, c), as in registers.h
 */
#include "equations.h"
#include "parallel.h"

/* A layer. Tensors are [rows of all steps, numbers] or [sequences, numbers], in row order; what a
 * product reads (fed, to_product) has DEEP numbers a row, and nothing else has gaps. The sequences
 * are in the order of their length, the longest first. */
typedef struct {
    SHARED_OUT
    long keeps;            /* whether kept is of every step, or of one at a time */
    const NUMBER *weight;  /* packed, for the pass that is meant */
    const float *bias;     /* of the product, padded; zeros in the backward pass */
    float *product;        /* what the last product gave, [sequences, padded columns]; zeros before a
                            * backward pass, since nothing comes after a sequence's last step */
    const long *ids;       /* which row of projected each step reads; or null: its own */
    /* As in equations.h, from here on; first_fed and first: before the first step. For a cell of
     * one state memory is out. */
    const NUMBER *projected, *first_fed;
    const float *first;
    float *kept, *memory, *out;
    NUMBER *fed;
    const float *given, *given_memory; /* or null */
    float *carried;
    NUMBER *to_product, *to_projected;
} NAME(Layer);

/* A cell's passes over the sequences from `from` to `to`; gates: in its products, keep: numbers that
 * it keeps for each of h. */
#define CELL(cell, gates, keep)                                                                    \
    static void NAME(cell##_forward_part)(const NAME(Layer) * l, long from, long to) {             \
        const long size = l->size, deep = DEEP(size), wide = padded(gates * size);                 \
        const NUMBER *fed = l->first_fed;                                                          \
        const float *before = l->first;                                                            \
        for (long t = 0, start = 0; t < l->steps && l->sequences[t] > from; t++) {                 \
            const long end = l->sequences[t] < to ? l->sequences[t] : to;                          \
            NAME(multiply)(end - from, deep, gates * size, fed + from * deep, l->weight, l->bias,  \
                           l->product + from * wide);                                              \
            for (long r = from; r < end; r++) {                                                    \
                const long at = start + r, slot = l->keeps ? at : r;                               \
                const long read = l->ids ? l->ids[at] : at;                                        \
                NAME(cell##_forward_row)(size, l->product + r * wide,                              \
                                         l->projected + read * gates * size, before + r * size,    \
                                         l->kept + slot * keep * size, l->memory + at * size,      \
                                         l->out + at * size, l->fed + at * deep);                  \
            }                                                                                      \
            fed = l->fed + start * deep;                                                           \
            before = l->memory + start * size;                                                     \
            start += l->sequences[t];                                                              \
        }                                                                                          \
    }                                                                                              \
    static void NAME(cell##_backward_part)(const NAME(Layer) * l, long from, long to) {            \
        const long size = l->size, deep = DEEP(gates * size), wide = padded(size);                 \
        long start = 0;                                                                            \
        for (long t = 0; t < l->steps; t++) start += l->sequences[t];                              \
        for (long t = l->steps - 1; t >= 0; t--) {                                                 \
            start -= l->sequences[t];                                                              \
            const long end = l->sequences[t] < to ? l->sequences[t] : to;                          \
            if (end <= from) continue;                                                             \
            const float *before = t ? l->memory + (start - l->sequences[t - 1]) * size : l->first; \
            for (long r = from; r < end; r++) {                                                    \
                const long at = start + r;                                                         \
                NAME(cell##_backward_row)(                                                         \
                    size, l->kept + at * keep * size, before + r * size, l->memory + at * size,    \
                    l->given ? l->given + at * size : l->bias, l->product + r * wide,              \
                    l->given_memory ? l->given_memory + at * size : l->bias, l->carried + r * size,\
                    l->to_product + at * deep, l->to_projected + at * deep);                       \
            }                                                                                      \
            NAME(multiply)(end - from, deep, size, l->to_product + (start + from) * deep, l->weight,\
                           l->bias, l->product + from * wide);                                     \
        }                                                                                          \
    }                                                                                              \
    static void NAME(cell##_forward_share)(void *layer) {                                          \
        NAME(Layer) *l = layer;                                                                    \
        EACH_PART(i, l) NAME(cell##_forward_part)(l, l->cuts[i], l->cuts[i + 1]);                  \
    }                                                                                              \
    static void NAME(cell##_backward_share)(void *layer) {                                         \
        NAME(Layer) *l = layer;                                                                    \
        EACH_PART(i, l) NAME(cell##_backward_part)(l, l->cuts[i], l->cuts[i + 1]);                 \
    }                                                                                              \
    void NAME(cell##_forward)(NAME(Layer) * l, Parallel parallel) {                                \
        in_threads(NAME(cell##_forward_share), l, l->parts, parallel);                             \
    }                                                                                              \
    void NAME(cell##_backward)(NAME(Layer) * l, Parallel parallel) {                               \
        in_threads(NAME(cell##_backward_share), l, l->parts, parallel);                            \
    }

CELL(lstm, 4, 4)
CELL(gru, 3, 4)
CELL(tanh, 1, 0)
CELL(relu, 1, 0)
