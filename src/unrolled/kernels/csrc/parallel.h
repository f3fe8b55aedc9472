/* Work that threads share. */

/* OpenMP's own function for a parallel region, of the library that PyTorch has loaded: threads of
 * another one would wait for a processor while PyTorch's spin. */
typedef void (*Parallel)(void (*)(void *), void *, unsigned, unsigned);

/* Let as many threads as there are parts do `share`, each of which takes parts until none is left. */
static void in_threads(void (*share)(void *), void *work, long parts, Parallel parallel) {
    if (parts == 1)
        share(work);
    else
        parallel(share, work, (unsigned)parts, 0);
}

/* How a structure of a pass over all steps begins, whose sequences are shared out: how many each step
 * has, and of so many parts i those from cuts[i] to cuts[i + 1]. */
#define SHARED_OUT                                                                                 \
    long size, steps;                                                                              \
    const long *sequences;                                                                         \
    long parts;                                                                                    \
    const long *cuts;                                                                              \
    long taken;

/* For each part that a thread takes; taken: how many have been, 0 at first. */
#define EACH_PART(i, work)                                                                         \
    for (long i;                                                                                   \
         (i = __atomic_fetch_add(&(work)->taken, 1, __ATOMIC_RELAXED)) < (work)->parts;)
