/* Numbers in bf16, and the functions that cells squash with, so that compilers make vector
 * instructions of them; the C library's own are a call for each number. NaN stays NaN. */
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

static inline float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float widened(bf16 x) { return from_bits((uint32_t)x << 16); }

/* To the nearest, ties to even, as PyTorch rounds. */
static inline bf16 narrowed(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return x == x ? (bf16)rounded : (bf16)0x7fc0;
}

/* x as n ln2 + r, and Cephes' polynomial for exp(r) on [-ln2/2, ln2/2]. */
static inline float exponential_of_rest(float x, float n) {
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * r * r + r + 1.0f;
}

/* exp within 1e-7 of its value: 2^n times exp(r). */
static inline float exponential(float x) {
    x = x > 88.0f ? 88.0f : x;
    const float n = __builtin_rintf(x * 1.44269504f);
    const float p = exponential_of_rest(x, n) * from_bits((uint32_t)((int32_t)n + 127) << 23);
    return x < -87.0f ? 0.0f : p;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

/* tanh within 1e-7, which is enough for what bf16 rounds; of small numbers it loses digits. */
static inline float rough_tanh(float x) { return 1.0f - 2.0f / (1.0f + exponential(2.0f * x)); }

/* tanh to the last digits of small numbers, too: there Cephes' polynomial. */
static inline float exact_tanh(float x) {
    const float s = x * x;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    const float near = p * s * x + x, far = rough_tanh(x);
    return s < 0.390625f ? near : far;
}

/* Not "x > 0": NaN is to stay. */
static inline float relu(float x) { return x < 0.0f ? 0.0f : x; }
