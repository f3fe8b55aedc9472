/* Products by AMX: tiles of 16 rows of 32 numbers in bf16, or of 16 sums. A tile of sums goes over
 * the inner index in order. */
#if WIDTH == 16 && defined __linux__
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HAS_TILES
#define TILES __attribute__((target("amx-tile,amx-bf16")))
#define TILE 16

/* Whether the processor has them, and the system lets this process use them, which has to ask. */
static int has_tiles(void) {
    enum { ASK = 0x1023, TILE_DATA = 18 };
    const unsigned wanted = 1u << 22 | 1u << 24; /* AMX's bf16, and AMX */
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & wanted) != wanted) return 0;
    return syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
}

typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} Tiles;

/* Of up to 32 rows: tiles 0 to 3 are sums, 4 and 5 of a, 6 and 7 of b. */
static TILES void rows_by_tiles(long rows, long inner, long columns, const bf16 *a, const bf16 *b,
                                const float *bias, float *c) {
    const int lower = rows > TILE;
    const uint8_t above = lower ? TILE : rows, below = lower ? rows - TILE : 1;
    const Tiles tiles = {.palette = 1,
                         .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                         .rows = {above, above, below, below, above, below, TILE, TILE}};
    const long a_stride = inner * sizeof *a, c_stride = padded(columns) * sizeof *c;
    _tile_loadconfig(&tiles);
    for (long column = 0; column < columns; column += PANEL) {
        const int right = padded(columns) - column > TILE;
        const long wide = right ? PANEL : TILE, b_stride = 2 * wide * sizeof *b;
        float *to = c + column, *to_lower = to + TILE * padded(columns);
        /* A stride of zero: the same row for all. */
        _tile_loadd(0, bias + column, 0);
        if (right) _tile_loadd(1, bias + column + TILE, 0);
        if (lower) _tile_loadd(2, bias + column, 0);
        if (right && lower) _tile_loadd(3, bias + column + TILE, 0);
        for (long k = 0; k < inner; k += 2 * TILE, b += 2 * TILE * wide) {
            _tile_loadd(4, a + k, a_stride);
            _tile_loadd(6, b, b_stride);
            _tile_dpbf16ps(0, 4, 6);
            if (right) {
                _tile_loadd(7, b + 2 * TILE, b_stride);
                _tile_dpbf16ps(1, 4, 7);
            }
            if (lower) {
                _tile_loadd(5, a + TILE * inner + k, a_stride);
                _tile_dpbf16ps(2, 5, 6);
                if (right) _tile_dpbf16ps(3, 5, 7);
            }
        }
        _tile_stored(0, to, c_stride);
        if (right) _tile_stored(1, to + TILE, c_stride);
        if (lower) _tile_stored(2, to_lower, c_stride);
        if (right && lower) _tile_stored(3, to_lower + TILE, c_stride);
    }
    _tile_release();
}

static void multiply_by_tiles(long rows, long inner, long columns, const bf16 *a, const bf16 *b,
                              const float *bias, float *c) {
    for (long row = 0; row < rows; row += 2 * TILE) {
        const long left = rows - row, some = left < 2 * TILE ? left : 2 * TILE;
        rows_by_tiles(some, inner, columns, a + row * inner, b, bias, c + row * padded(columns));
    }
}
#endif
