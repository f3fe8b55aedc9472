/* What the code of generated layers (recurrence/generated/source.py) is written in. */
#include <math.h>

#include "numbers.h"
#include "parallel.h"

/* c = a b + bias, as multiply in registers.h. */
typedef void (*Product)(long rows, long inner, long columns, const float *a, const float *b,
                        const float *bias, float *c);

/* A layer; begins as layer.h's. */
typedef struct {
    long size, steps;
    const long *sequences; /* how many each step has */
    long parts;            /* the sequences are shared out in so many parts ... */
    const long *cuts;      /* ... from cuts[i] to cuts[i + 1] */
    long taken;            /* as in parallel.h */
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

/* exp up to the largest number and beyond it. */
static inline float full_exponential(float x) {
    const float half = exponential(0.5f * x);
    return x > 80.0f ? half * half : exponential(x);
}
