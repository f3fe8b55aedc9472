/* One sequence's step of each cell, forwards and backwards, for all that lies between two products.
 *
 * The file is included once for each type that products read, with these defined:
 *   NUMBER      the type; WIDE(x), NARROW(x): it as a float, and a float in it
 *   TANH        the tanh that is exact enough for it
 *   NAME(x)     x with the type's name
 *   FEED(at, h) writes a new state where the next product reads it
 *
 * All take the same arguments, pointers to the first of `size` numbers for each gate; one that a
 * cell has no use for is not read.
 *
 * forward
 *   product   the recurrent product with its bias; projected: the projected input
 *   before    the fp32 state of the step before: c of an LSTM, h of the others
 *   kept      what backward needs besides the states
 *   memory    c of an LSTM; out: the new h in fp32; fed: what FEED writes
 *
 * backward
 *   kept, before  as above; state: c of an LSTM, h of the others, after the step
 *   given     dL/dh of this step from outside; later: that from the product of the step after;
 *             given_memory: dL/dc from outside
 *   carried   what reaches the state before by itself: dL/dc of an LSTM, dL/dh of a GRU
 *   to_product, to_projected  the gradients of those two, where a cell's differ both are written
 */
#define FORWARD(cell)                                                                              \
    static inline void NAME(cell##_forward_row)(                                                   \
        long size, const float *restrict product, const NUMBER *restrict projected,                \
        const float *restrict before, float *restrict kept, float *restrict memory,                \
        float *restrict out, NUMBER *restrict fed)

#define BACKWARD(cell)                                                                             \
    static inline void NAME(cell##_backward_row)(                                                  \
        long size, const float *restrict kept, const float *restrict before,                       \
        const float *restrict state, const float *restrict given, const float *restrict later,     \
        const float *restrict given_memory, float *restrict carried, NUMBER *restrict to_product,  \
        NUMBER *restrict to_projected)

/* Over all numbers, none of which reads what is written for another. */
#define EACH(j) _Pragma("GCC ivdep") for (long j = 0; j < size; j++)

FORWARD(lstm) {
    EACH(j) {
        const float i = sigmoid(product[j] + WIDE(projected[j]));
        const float f = sigmoid(product[size + j] + WIDE(projected[size + j]));
        const float g = TANH(product[2 * size + j] + WIDE(projected[2 * size + j]));
        const float o = sigmoid(product[3 * size + j] + WIDE(projected[3 * size + j]));
        const float c = f * before[j] + i * g;
        const float h = o * TANH(c);
        kept[j] = i;
        kept[size + j] = f;
        kept[2 * size + j] = g;
        kept[3 * size + j] = o;
        memory[j] = c;
        out[j] = h;
        FEED(j, h);
    }
}

BACKWARD(lstm) {
    EACH(j) {
        const float i = kept[j], f = kept[size + j];
        const float g = kept[2 * size + j], o = kept[3 * size + j];
        const float squashed = TANH(state[j]);
        const float to_h = given[j] + later[j];
        const float to_c = carried[j] + given_memory[j] + to_h * o * (1.0f - squashed * squashed);
        to_product[j] = NARROW(to_c * g * (i - i * i));
        to_product[size + j] = NARROW(to_c * before[j] * (f - f * f));
        to_product[2 * size + j] = NARROW(to_c * i * (1.0f - g * g));
        to_product[3 * size + j] = NARROW(to_h * squashed * (o - o * o));
        carried[j] = to_c * f;
    }
}

FORWARD(gru) {
    EACH(j) {
        const float reset = sigmoid(product[j] + WIDE(projected[j]));
        const float update = sigmoid(product[size + j] + WIDE(projected[size + j]));
        const float read = product[2 * size + j];
        const float fresh = TANH(WIDE(projected[2 * size + j]) + reset * read);
        const float h = fresh + update * (before[j] - fresh);
        kept[j] = reset;
        kept[size + j] = update;
        kept[2 * size + j] = fresh;
        kept[3 * size + j] = read;
        out[j] = h;
        FEED(j, h);
    }
}

BACKWARD(gru) {
    EACH(j) {
        const float reset = kept[j], update = kept[size + j];
        const float fresh = kept[2 * size + j], read = kept[3 * size + j];
        const float to_h = carried[j] + (given[j] + later[j]);
        const float to_fresh = to_h * (1.0f - update) * (1.0f - fresh * fresh);
        const NUMBER to_reset = NARROW(to_fresh * read * (reset - reset * reset));
        const NUMBER to_update = NARROW(to_h * (before[j] - fresh) * (update - update * update));
        to_product[j] = to_projected[j] = to_reset;
        to_product[size + j] = to_projected[size + j] = to_update;
        to_product[2 * size + j] = NARROW(to_fresh * reset);
        to_projected[2 * size + j] = NARROW(to_fresh);
        carried[j] = to_h * update;
    }
}

/* A simple network: h is squashed(x), and dL/dx is dL/dh times the slope at h. */
#define SIMPLE(cell, squashed, slope)                                                              \
    FORWARD(cell) {                                                                                \
        EACH(j) {                                                                                  \
            const float h = squashed(product[j] + WIDE(projected[j]));                             \
            out[j] = h;                                                                            \
            FEED(j, h);                                                                            \
        }                                                                                          \
    }                                                                                              \
    BACKWARD(cell) {                                                                               \
        EACH(j) {                                                                                  \
            const float to_h = given[j] + later[j], h = state[j];                                  \
            to_product[j] = NARROW(slope);                                                         \
        }                                                                                          \
    }

SIMPLE(tanh, TANH, to_h * (1.0f - h * h))
SIMPLE(relu, relu, h > 0.0f ? to_h : 0.0f)

#undef FORWARD
#undef BACKWARD
#undef EACH
#undef SIMPLE
