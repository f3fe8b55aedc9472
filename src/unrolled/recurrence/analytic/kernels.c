/* What lies between the products of a step, forwards and backwards, in one pass each.
 *
 * Products come in bf16 and gradients that enter products go out in bf16; whatever is kept over
 * time is fp32. All kernels take the same arguments, [rows, columns * size] in row order; a pointer
 * that a cell has no use for is not read.
 *
 * forward
 *   product   the recurrent product with its bias; projected: the projected input
 *   before    the fp32 state of the step before: c of an LSTM, h of the others
 *   kept      what backward needs besides the states
 *   memory    c of an LSTM; out, narrow: the new h in fp32 and in bf16
 *
 * backward
 *   kept, before  as above; state: c of an LSTM, h of the others, after the step
 *   given     dL/dh of this step from outside, or null; later: that from the product of the step
 *             after, of its first later_rows rows; given_memory: dL/dc from outside, or null
 *   carried   what reaches the state before by itself: dL/dc of an LSTM, dL/dh of a GRU
 *   to_product, to_projected  the gradients of those two, where a cell's differ both are written
 */
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

#define FORWARD(name)                                                                              \
    void name(long rows, long size, const bf16 *restrict product, const bf16 *restrict projected,  \
              const float *restrict before, float *restrict kept, float *restrict memory,          \
              float *restrict out, bf16 *restrict narrow)

#define BACKWARD(name)                                                                             \
    void name(long rows, long size, const float *restrict kept, const float *restrict before,      \
              const float *restrict state, const float *restrict given,                            \
              const bf16 *restrict later, long later_rows, const float *restrict given_memory,     \
              float *restrict carried, bf16 *restrict to_product, bf16 *restrict to_projected)

static inline float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float widened(bf16 x) { return from_bits((uint32_t)x << 16); }

/* To the nearest, ties to even, as PyTorch rounds; NaN stays NaN. */
static inline bf16 narrowed(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return x == x ? (bf16)rounded : (bf16)0x7fc0;
}

/* exp within 1e-7 of its value: 2^n times Cephes' polynomial on [-ln2/2, ln2/2]. NaN stays NaN.
 * The C library's own is a call for each number; this one compiles to vector instructions. */
static inline float exponential(float x) {
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    const float n = __builtin_rintf(x * 1.44269504f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * from_bits((uint32_t)((int32_t)n + 127) << 23);
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

static inline float tanh_of(float x) { return 1.0f - 2.0f / (1.0f + exponential(2.0f * x)); }

/* dL/dh of a number: from outside, and from the product of the step after. */
static inline float total_of(const float *given, const bf16 *later, long at, int has_later) {
    return (given ? given[at] : 0.0f) + (has_later ? widened(later[at]) : 0.0f);
}

FORWARD(lstm_forward) {
    for (long row = 0; row < rows; row++) {
        const bf16 *p = product + row * 4 * size, *z = projected + row * 4 * size;
        float *gates = kept + row * 4 * size;
        for (long j = 0; j < size; j++) {
            const long at = row * size + j;
            const float i = sigmoid(widened(p[j]) + widened(z[j]));
            const float f = sigmoid(widened(p[size + j]) + widened(z[size + j]));
            const float g = tanh_of(widened(p[2 * size + j]) + widened(z[2 * size + j]));
            const float o = sigmoid(widened(p[3 * size + j]) + widened(z[3 * size + j]));
            const float c = f * before[at] + i * g;
            const float h = o * tanh_of(c);
            gates[j] = i;
            gates[size + j] = f;
            gates[2 * size + j] = g;
            gates[3 * size + j] = o;
            memory[at] = c;
            out[at] = h;
            narrow[at] = narrowed(h);
        }
    }
}

BACKWARD(lstm_backward) {
    for (long row = 0; row < rows; row++) {
        const float *gates = kept + row * 4 * size;
        bf16 *grad = to_product + row * 4 * size;
        const int has_later = row < later_rows;
        for (long j = 0; j < size; j++) {
            const long at = row * size + j;
            const float i = gates[j], f = gates[size + j];
            const float g = gates[2 * size + j], o = gates[3 * size + j];
            const float squashed = tanh_of(state[at]);
            const float to_h = total_of(given, later, at, has_later);
            const float to_c = carried[at] + (given_memory ? given_memory[at] : 0.0f) +
                               to_h * o * (1.0f - squashed * squashed);
            grad[j] = narrowed(to_c * g * (i - i * i));
            grad[size + j] = narrowed(to_c * before[at] * (f - f * f));
            grad[2 * size + j] = narrowed(to_c * i * (1.0f - g * g));
            grad[3 * size + j] = narrowed(to_h * squashed * (o - o * o));
            carried[at] = to_c * f;
        }
    }
}

FORWARD(gru_forward) {
    for (long row = 0; row < rows; row++) {
        const bf16 *p = product + row * 3 * size, *z = projected + row * 3 * size;
        float *keep = kept + row * 4 * size;
        for (long j = 0; j < size; j++) {
            const long at = row * size + j;
            const float reset = sigmoid(widened(p[j]) + widened(z[j]));
            const float update = sigmoid(widened(p[size + j]) + widened(z[size + j]));
            const float read = widened(p[2 * size + j]);
            const float fresh = tanh_of(widened(z[2 * size + j]) + reset * read);
            const float h = fresh + update * (before[at] - fresh);
            keep[j] = reset;
            keep[size + j] = update;
            keep[2 * size + j] = fresh;
            keep[3 * size + j] = read;
            out[at] = h;
            narrow[at] = narrowed(h);
        }
    }
}

BACKWARD(gru_backward) {
    for (long row = 0; row < rows; row++) {
        const float *keep = kept + row * 4 * size;
        bf16 *grad = to_product + row * 3 * size, *grad_z = to_projected + row * 3 * size;
        const int has_later = row < later_rows;
        for (long j = 0; j < size; j++) {
            const long at = row * size + j;
            const float reset = keep[j], update = keep[size + j];
            const float fresh = keep[2 * size + j], read = keep[3 * size + j];
            const float to_h = carried[at] + total_of(given, later, at, has_later);
            const float to_fresh = to_h * (1.0f - update) * (1.0f - fresh * fresh);
            const bf16 to_reset = narrowed(to_fresh * read * (reset - reset * reset));
            const bf16 to_update =
                narrowed(to_h * (before[at] - fresh) * (update - update * update));
            grad[j] = grad_z[j] = to_reset;
            grad[size + j] = grad_z[size + j] = to_update;
            grad[2 * size + j] = narrowed(to_fresh * reset);
            grad_z[2 * size + j] = narrowed(to_fresh);
            carried[at] = to_h * update;
        }
    }
}

/* Not "x > 0": NaN is to stay. */
static inline float relu_of(float x) { return x < 0.0f ? 0.0f : x; }

static inline float through_tanh(float to_h, float h) { return to_h * (1.0f - h * h); }

static inline float through_relu(float to_h, float h) { return h > 0.0f ? to_h : 0.0f; }

/* A simple network: h is squashed(x), and dL/dx is through(dL/dh, h). */
#define SIMPLE(name, squashed, through)                                                            \
    FORWARD(name##_forward) {                                                                      \
        for (long at = 0; at < rows * size; at++) {                                                \
            out[at] = squashed(widened(product[at]) + widened(projected[at]));                     \
            narrow[at] = narrowed(out[at]);                                                        \
        }                                                                                          \
    }                                                                                              \
    BACKWARD(name##_backward) {                                                                    \
        for (long row = 0; row < rows; row++) {                                                    \
            const int has_later = row < later_rows;                                                \
            for (long at = row * size; at < (row + 1) * size; at++)                                \
                to_product[at] =                                                                   \
                    narrowed(through(total_of(given, later, at, has_later), state[at]));           \
        }                                                                                          \
    }

SIMPLE(tanh, tanh_of, through_tanh)
SIMPLE(relu, relu_of, through_relu)
