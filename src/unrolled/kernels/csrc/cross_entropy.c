/* The cross-entropy of scores in bf16, and its gradient in their place. */
#include "numbers.h"
#include "parallel.h"

typedef struct {
    long classes, rows;
    long parts, taken; /* the rows are shared out in so many parts */
    long gradient;     /* whether scores are replaced by their gradient */
    bf16 *scores;      /* [rows, classes] */
    const int64_t *targets; /* below 0: there is none */
    float *losses;          /* of rows, in nats */
} Scores;

/* Sums and maxima are taken over so many interleaved parts, so that they are the same for any width of
 * vectors. */
#define LANES 64

static float largest(long classes, const bf16 *scores) {
    float tops[LANES], top;
    for (long v = 0; v < LANES; v++) tops[v] = widened(scores[0]);
    long j = 0;
    for (; j + LANES <= classes; j += LANES)
        for (long v = 0; v < LANES; v++) {
            const float x = widened(scores[j + v]);
            tops[v] = x > tops[v] ? x : tops[v];
        }
    for (top = tops[0]; j < classes; j++) top = widened(scores[j]) > top ? widened(scores[j]) : top;
    for (long v = 1; v < LANES; v++) top = tops[v] > top ? tops[v] : top;
    return top;
}

static float sum_of_exponentials(long classes, const bf16 *scores, float top) {
    float sums[LANES] = {0}, sum = 0.0f;
    long j = 0;
    for (; j + LANES <= classes; j += LANES)
        for (long v = 0; v < LANES; v++) sums[v] += exponential(widened(scores[j + v]) - top);
    for (; j < classes; j++) sum += exponential(widened(scores[j]) - top);
    for (long v = 0; v < LANES; v++) sum += sums[v];
    return sum;
}

static float of_row(long classes, bf16 *restrict scores, long target, int gradient) {
    if (target < 0) {
        if (gradient) memset(scores, 0, classes * sizeof *scores);
        return 0.0f;
    }
    const float top = largest(classes, scores), chosen = widened(scores[target]) - top;
    const float sum = sum_of_exponentials(classes, scores, top), inverse = 1.0f / sum;
    if (gradient) {
        for (long j = 0; j < classes; j++)
            scores[j] = narrowed(exponential(widened(scores[j]) - top) * inverse);
        scores[target] = narrowed(exponential(chosen) * inverse - 1.0f);
    }
    return __builtin_logf(sum) - chosen;
}

static void share_of_rows(void *work) {
    Scores *s = work;
    EACH_PART(i, s)
    for (long r = s->rows * i / s->parts; r < s->rows * (i + 1) / s->parts; r++)
        s->losses[r] = of_row(s->classes, s->scores + r * s->classes, s->targets[r], s->gradient);
}

void cross_entropy(Scores *s, Parallel parallel) { in_threads(share_of_rows, s, s->parts, parallel); }
