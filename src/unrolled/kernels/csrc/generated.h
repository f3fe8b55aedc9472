/* What the code of generated layers (recurrence/generated/source.py) is written in. */
#include <math.h>

#include "numbers.h"
#include "parallel.h"

/* c = a b + bias, as multiply in registers.h. */
typedef void (*Product)(long rows, long inner, long columns, const float *a, const float *b,
                        const float *bias, float *c);

/* A layer. */
typedef struct {
    SHARED_OUT
    long keeps;            /* whether products and what they read are kept of every step */
    float *const *tensors; /* in the order in which the code names them; null: zeros */
    const float *zeros;    /* as many as a product has columns */
    Product product;
} Work;

/* A pass over all steps, whose sequences threads share. */
#define PASS(name)                                                                                 \
    static void name##_share(void *given) {                                                        \
        Work *work = given;                                                                        \
        EACH_PART(i, work) name##_part(work, i, work->cuts[i], work->cuts[i + 1]);                 \
    }                                                                                              \
    void name(Work *work, Parallel parallel) {                                                     \
        in_threads(name##_share, work, work->parts, parallel);                                     \
    }

/* to = given + carried for so many rows, and carried = 0. */
static inline void gather(long rows, long size, const float *restrict given,
                          float *restrict carried, float *restrict to) {
    for (long j = 0; j < rows * size; j++) {
        to[j] = given ? given[j] + carried[j] : carried[j];
        carried[j] = 0.0f;
    }
}

/* NaN where either is. */
static inline float largest(float a, float b) { return a > b || a != a ? a : b; }
static inline float smallest(float a, float b) { return a < b || a != a ? a : b; }

/* log within two units in the last place: Cephes' polynomial on [sqrt(1/2), sqrt(2)]. */
static inline float logarithm(float x) {
    const float large = x < 1.17549435e-38f ? x * 8388608.0f : x;
    uint32_t bits;
    memcpy(&bits, &large, sizeof bits);
    float n = (float)((int32_t)(bits >> 23) - 126) - (x < 1.17549435e-38f ? 23.0f : 0.0f);
    float m = from_bits((bits & 0x7fffffu) | 0x3f000000u);
    const float small = m < 0.707106781f ? 1.0f : 0.0f;
    n -= small;
    m = m + small * m - 1.0f;
    const float s = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * s - 2.12194440e-4f * n - 0.5f * s;
    const float found = m + p + 0.693359375f * n;
    const float edge = x == 0.0f ? -INFINITY : x < 0.0f || x != x ? NAN : x;
    return x > 0.0f && x < INFINITY ? found : edge;
}

/* log(1 + x), whose small digits 1 + x has lost. */
static inline float logarithm_beside_1(float x) {
    const float sum = 1.0f + x, seen = sum - 1.0f, found = logarithm(sum);
    return seen == 0.0f ? x : sum < INFINITY ? found * (x / seen) : found;
}

/* exp from the smallest number to the largest and beyond: as exponential, with its power of two in
 * two factors. */
static inline float full_exponential(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -105.0f ? -105.0f : x;
    const float n = __builtin_rintf(x * 1.44269504f);
    const int32_t whole = (int32_t)n, half = whole >> 1;
    const float p = exponential_of_rest(x, n) * from_bits((uint32_t)(half + 127) << 23);
    return p * from_bits((uint32_t)(whole - half + 127) << 23);
}

static inline float full_sigmoid(float x) { return 1.0f / (1.0f + full_exponential(-x)); }

/* exp(x) - 1, likewise. */
static inline float exponential_beside_1(float x) {
    const float whole = full_exponential(x), seen = whole - 1.0f;
    const float found = seen * (x / logarithm(whole));
    return seen == 0.0f ? x : whole > 0.0f && whole < INFINITY ? found : seen;
}
