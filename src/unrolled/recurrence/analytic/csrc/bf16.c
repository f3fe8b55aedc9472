/* A step of all sequences, but for its products, which are given and taken in bf16; whatever is
 * kept over time is fp32. Arguments are as in equations.h, of all rows in row order; given and
 * given_memory may be null, and later has later_rows rows, of the sequences that go on. */
#include "numbers.h"

#define NUMBER bf16
#define WIDE(x) widened(x)
#define NARROW(x) narrowed(x)
#define TANH rough_tanh
#define NAME(x) x##_bf16
#define FEED(at, h) narrow[at] = narrowed(h)
#include "equations.h"

/* A cell's two functions; gates: in its products, keeps: numbers that it keeps for each of h. */
#define CELL(cell, gates, keeps)                                                                   \
    void cell##_forward(long rows, long size, const bf16 *product, const bf16 *projected,          \
                        const float *before, float *kept, float *memory, float *out,               \
                        bf16 *narrow) {                                                            \
        for (long r = 0; r < rows; r++)                                                            \
            cell##_forward_row_bf16(size, product + r * gates * size, projected + r * gates * size, \
                                    before + r * size, kept + r * keeps * size, memory + r * size, \
                                    out + r * size, narrow + r * size);                            \
    }                                                                                              \
    void cell##_backward(long rows, long size, const float *kept, const float *before,             \
                         const float *state, const float *given, const bf16 *later,                \
                         long later_rows, const float *given_memory, float *carried,               \
                         bf16 *to_product, bf16 *to_projected) {                                   \
        float zeros[size]; /* in both types */                                                     \
        memset(zeros, 0, sizeof zeros);                                                            \
        for (long r = 0; r < rows; r++)                                                            \
            cell##_backward_row_bf16(size, kept + r * keeps * size, before + r * size,             \
                                     state + r * size, given ? given + r * size : zeros,           \
                                     r < later_rows ? later + r * size : (const bf16 *)zeros,      \
                                     given_memory ? given_memory + r * size : zeros,               \
                                     carried + r * size, to_product + r * gates * size,            \
                                     to_projected + r * gates * size);                             \
    }

CELL(lstm, 4, 4)
CELL(gru, 3, 4)
CELL(tanh, 1, 0)
CELL(relu, 1, 0)
