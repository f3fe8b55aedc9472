/* All steps of s = (1 - u) s' + u c with u = sigmoid(g), where g and c do not depend on the state, in
 * fp32, forwards and backwards in a call each. */
#include "numbers.h"
#include "parallel.h"

/* Tensors are [rows of all steps, numbers] or [sequences, numbers], in row order, without gaps; the
 * sequences are in the order of their length, the longest first. */
typedef struct {
    SHARED_OUT
    const float *given;    /* g and c of each row side by side */
    const float *first;    /* s before the first step */
    float *out;            /* s of all steps */
    const float *to_out;   /* the gradient of out */
    float *carried;        /* that of the state before the step; zeros at first */
    float *to_given;       /* that of given */
} Interpolation;

/* Over all numbers, none of which reads what is written for another. */
#define EACH(j) _Pragma("GCC ivdep") for (long j = 0; j < size; j++)

/* (1 - u) / u for u = sigmoid(g): with it 1 - u keeps its digits where u is close to 1. Limited, so that
 * u is a normal number, which it has to be where others are taken for zero. */
static inline float odds(float g) { return exponential(g < -80.0f ? 80.0f : -g); }

static void forward_row(long size, const float *restrict given, const float *restrict before,
                        float *restrict out) {
    EACH(j) {
        const float e = odds(given[j]), u = 1.0f / (1.0f + e), keeps = e * u;
        out[j] = keeps * before[j] + u * given[size + j];
    }
}

static void backward_row(long size, const float *restrict given, const float *restrict before,
                         const float *restrict to_out, float *restrict carried,
                         float *restrict to_given) {
    EACH(j) {
        const float e = odds(given[j]), u = 1.0f / (1.0f + e), keeps = e * u;
        const float to = to_out[j] + carried[j];
        to_given[j] = to * (given[size + j] - before[j]) * (u * keeps);
        to_given[size + j] = to * u;
        carried[j] = to * keeps;
    }
}

static void forward_share(void *work) {
    Interpolation *s = work;
    const long size = s->size;
    EACH_PART(i, s) {
        const float *before = s->first;
        for (long t = 0, start = 0; t < s->steps; start += s->sequences[t++]) {
            const long end = s->sequences[t] < s->cuts[i + 1] ? s->sequences[t] : s->cuts[i + 1];
            for (long r = s->cuts[i]; r < end; r++)
                forward_row(size, s->given + (start + r) * 2 * size, before + r * size,
                            s->out + (start + r) * size);
            before = s->out + start * size;
        }
    }
}

static void backward_share(void *work) {
    Interpolation *s = work;
    const long size = s->size;
    EACH_PART(i, s) {
        long start = 0;
        for (long t = 0; t < s->steps; t++) start += s->sequences[t];
        for (long t = s->steps - 1; t >= 0; t--) {
            start -= s->sequences[t];
            const long end = s->sequences[t] < s->cuts[i + 1] ? s->sequences[t] : s->cuts[i + 1];
            const float *before = t ? s->out + (start - s->sequences[t - 1]) * size : s->first;
            for (long r = s->cuts[i]; r < end; r++)
                backward_row(size, s->given + (start + r) * 2 * size, before + r * size,
                             s->to_out + (start + r) * size, s->carried + r * size,
                             s->to_given + (start + r) * 2 * size);
        }
    }
}

void interpolation_forward(Interpolation *s, Parallel parallel) {
    in_threads(forward_share, s, s->parts, parallel);
}
void interpolation_backward(Interpolation *s, Parallel parallel) {
    in_threads(backward_share, s, s->parts, parallel);
}
