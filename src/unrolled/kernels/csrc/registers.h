/* Products whose sums are held in registers, of BLOCK rows and PANEL columns at a time (12 of the 16
 * vectors of AVX2). Each sum goes over the inner index in order, so it is the same for any width of
 * vectors, number of rows and number of threads.
 *
 * The file is included once for each way to multiply, with these defined, and undefines them:
 *   FACTOR          the type of what is multiplied
 *   TOGETHER        how many inner numbers are multiplied at once
 *   ADD(sum, a, b)  adds to a vector of sums the products of so many numbers at a with those of each
 *                   column at b
 *   WAY(x)          x with the way's name
 *   TARGET          instructions besides the compiler's, as an attribute
 */
#ifndef PANEL
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
typedef uint32_t bits __attribute__((vector_size(WIDTH * sizeof(float)), aligned(4), may_alias));

/* How many numbers a row of so many columns takes in whole vectors. */
static inline long padded(long columns) { return (columns + WIDTH - 1) / WIDTH * WIDTH; }
#endif

/* One block: vectors is 1 or 2; the compiler sees both numbers and unrolls. */
static inline __attribute__((always_inline)) TARGET void WAY(block)(
    int rows, int vectors, long inner, const FACTOR *restrict a, const FACTOR *restrict b,
    const float *restrict bias, float *restrict c, long c_stride) {
    vector sums[BLOCK][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sums[r][v] = *(const vector *)(bias + v * WIDTH);
    for (long k = 0; k < inner; k += TOGETHER, b += TOGETHER * vectors * WIDTH)
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++)
                ADD(sums[r][v], a + r * inner + k, b + TOGETHER * v * WIDTH);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) *(vector *)(c + r * c_stride + v * WIDTH) = sums[r][v];
}

#define ROWS(rows)                                                                                 \
    case rows:                                                                                     \
        if (wide == PANEL)                                                                         \
            WAY(block)(rows, 2, inner, a_row, b, bias + column, c_row, c_stride);                  \
        else                                                                                       \
            WAY(block)(rows, 1, inner, a_row, b, bias + column, c_row, c_stride);                  \
        break;

/* c = bias + a b: a of [rows, inner]; b packed; c of [rows, padded columns]. */
static TARGET void WAY(multiply)(long rows, long inner, long columns, const FACTOR *a,
                                 const FACTOR *b, const float *bias, float *c) {
    const long blocks = (rows + BLOCK - 1) / BLOCK, c_stride = padded(columns);
    for (long column = 0; column < columns; column += PANEL) {
        const long left = c_stride - column, wide = left < PANEL ? left : PANEL;
        for (long i = 0, row = 0; i < blocks; i++) {
            const long end = rows * (i + 1) / blocks;
            const FACTOR *a_row = a + row * inner;
            float *c_row = c + row * c_stride + column;
            switch (end - row) { ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) }
            row = end;
        }
        b += wide * inner;
    }
}

#undef FACTOR
#undef TOGETHER
#undef ADD
#undef WAY
#undef TARGET
#undef ROWS
