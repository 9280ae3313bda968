/*
 * base/json_template.h: the scanning loop, compiled once per engine (base/json_engine.h). The
 * including file defines JSON_TARGET          function attribute that allows the engine's
 * instructions, or nothing JSON_ENGINE          name of the engine function JSON_SPECIAL(at)     64
 * bits: bit i is set where at[i] may not be taken as a plain string byte, that is a quote, a
 * backslash, below 0x20 or above 0x7f
 *
 * The time of a scan is the latency from one string's start to its end, and mispredicted branches.
 * So the special bytes of 64 bytes are found at once, off that path, and the end of a string is
 * then a shift and a count of zeros. The values of `struct json_at` live in registers: no function
 * that is not inlined may get its address.
 *
 * Container kinds are a stack of bits in fixed memory, hence no recursion. No include guard: it is
 * included where an engine is made.
 */
#include "base/json_engine.h"

#define JSON_INLINE static inline __attribute__((always_inline)) JSON_TARGET

/* Where the scan is, and what it knows about the bytes around. */
struct json_at {
    const uint8_t *data;
    size_t len;
    size_t pos;
    size_t block;     /* start of the 64 bytes that `special` is about */
    uint64_t special; /* bits from `len` on are set */
    uint32_t depth;
    uint32_t depth_max;
    uint8_t closer;       /* what ends the innermost container: '}' or ']' */
    bool opened;          /* json_value_take ended at a value within the container that it opened */
    bool valued;          /* json_fields_take ended behind a value */
    bool number_may_end;  /* a number may touch the end of the input, at depth 0 */
    uint32_t names_depth; /* depth at which names are looked up: 1, or 0 for never */
    uint32_t field_depth; /* 1 while a wanted field's value is being scanned, else never reached */
    int field;            /* that field */
    size_t value_at;      /* and where its value starts */
    size_t escape_at;     /* the last backslash */
    const struct json_names *names;
};

#define JSON_NO_FIELD UINT32_MAX

/* Bit depth-1 of the stack tells whether the container at that depth is an object. */
typedef uint64_t json_stack[JSON_DEPTH_CEILING / 64];

JSON_INLINE bool json_stack_get(const uint64_t *stack, uint32_t depth)
{
    return (stack[(depth - 1) / 64] >> ((depth - 1) % 64) & 1) != 0;
}

JSON_INLINE void json_stack_set(uint64_t *stack, uint32_t depth, uint64_t is_object)
{
    uint64_t *word = &stack[(depth - 1) / 64];
    uint32_t bit = (depth - 1) % 64;
    /* The first bit of a word sets the whole word, so no word is read before it is written. */
    *word = bit == 0 ? is_object : (*word & ~((uint64_t)1 << bit)) | is_object << bit;
}

/* The special bits of the last, partial block. */
JSON_TARGET NOINLINE static uint64_t json_special_tail(const uint8_t *data, size_t len,
                                                       size_t block)
{
    size_t left = len - block;
    uint64_t beyond = ~(uint64_t)0 << left;
    if (len >= 64)
        return JSON_SPECIAL(data + len - 64) >> (64 - left) | beyond;
    uint8_t copy[64] = {0};
    __builtin_memcpy(copy, data + block, left);
    return JSON_SPECIAL(copy) | beyond;
}

/* Index of the first special byte at or after `from`; at->len or more where the input ends before.
 * The blocks are counted on, not computed from `from`, so that the processor can load one ahead of
 * time. */
JSON_INLINE size_t json_special_find(struct json_at *at, size_t from)
{
    size_t skip = from - at->block;
    uint64_t special = at->special;
    for (;;) {
        if (likely(skip < 64)) {
            special >>= skip;
            if (likely(special != 0))
                return from + (size_t)__builtin_ctzll(special);
            from += 64 - skip;
            skip = 64;
        }
        at->block += 64;
        skip -= 64;
        if (unlikely(at->block >= at->len))
            return at->len;
        special = likely(at->len - at->block >= 64)
                      ? JSON_SPECIAL(at->data + at->block)
                      : json_special_tail(at->data, at->len, at->block);
        at->special = special;
    }
}

/* The next byte that is no white space, whose index pos becomes; false at the end of the input. */
JSON_INLINE bool json_peek(struct json_at *at, uint8_t *ret_byte)
{
    if (unlikely(at->pos >= at->len))
        return false;
    *ret_byte = at->data[at->pos];
    if (unlikely(*ret_byte <= ' ')) {
        at->pos = json_ws_end(at->data, at->len, at->pos);
        if (at->pos >= at->len)
            return false;
        *ret_byte = at->data[at->pos];
    }
    return true;
}

/* Goes to `byte`, which nothing but white space may precede; `otherwise` where something else does.
 */
JSON_INLINE enum json_stop json_expect(struct json_at *at, uint8_t byte, enum json_stop otherwise)
{
    if (likely(at->pos < at->len && at->data[at->pos] == byte))
        return JSON_DONE;
    if (at->len - at->pos >= 2 && at->data[at->pos] == ' ' && at->data[at->pos + 1] == byte) {
        at->pos++;
        return JSON_DONE;
    }
    at->pos = json_ws_end(at->data, at->len, at->pos);
    if (at->pos >= at->len)
        return JSON_CUT;
    return at->data[at->pos] == byte ? JSON_DONE : otherwise;
}

/* A string whose opening quote is at pos. */
JSON_INLINE enum json_stop json_string_take(struct json_at *at)
{
    size_t pos = at->pos + 1;
    for (;;) {
        pos = json_special_find(at, pos);
        if (unlikely(pos >= at->len)) {
            at->pos = at->len;
            return JSON_CUT;
        }
        uint8_t c = at->data[pos];
        if (likely(c == '"'))
            break;
        if (c == '\\') {
            at->escape_at = pos;
            if (likely(at->len - pos >= 2 && json_escape_chars[at->data[pos + 1]] != 0)) {
                pos += 2;
                continue;
            }
        }
        enum json_stop stop = JSON_DONE;
        pos = json_string_step(at->data, at->len, pos, &stop);
        if (unlikely(stop != JSON_DONE)) {
            at->pos = pos;
            return stop;
        }
    }
    at->pos = pos + 1;
    return JSON_DONE;
}

/* Index of the first byte at or after `pos` that is no digit: eight at a time where they fit. */
JSON_INLINE size_t json_digits_end(const struct json_at *at, size_t pos)
{
    while (at->len - pos >= 8) {
        uint64_t v = json_load64(at->data + pos) ^ 0x3030303030303030;
        uint64_t other = ((v & 0x7f7f7f7f7f7f7f7f) + 0x7676767676767676) | v;
        other &= 0x8080808080808080;
        if (likely(other != 0))
            return pos + (size_t)__builtin_ctzll(other) / 8;
        pos += 8;
    }
    while (pos < at->len && (uint8_t)(at->data[pos] - '0') < 10)
        pos++;
    return pos;
}

/* At least one digit at `pos`; the index after them, or `pos` where there is none. */
JSON_INLINE enum json_stop json_digits_take(struct json_at *at)
{
    size_t end = json_digits_end(at, at->pos);
    if (unlikely(end == at->pos))
        return end == at->len ? JSON_CUT : JSON_BAD_NUMBER;
    at->pos = end;
    return JSON_DONE;
}

JSON_INLINE enum json_stop json_fraction_take(struct json_at *at)
{
    if (at->pos < at->len && at->data[at->pos] == '.') {
        at->pos++;
        enum json_stop stop = json_digits_take(at);
        if (unlikely(stop != JSON_DONE))
            return stop;
    }
    if (at->pos < at->len && (at->data[at->pos] | 0x20) == 'e') {
        at->pos++;
        if (at->pos < at->len && (at->data[at->pos] == '+' || at->data[at->pos] == '-'))
            at->pos++;
        return json_digits_take(at);
    }
    return JSON_DONE;
}

JSON_INLINE enum json_stop json_number_take(struct json_at *at)
{
    if (at->data[at->pos] == '-')
        at->pos++;
    size_t first = at->pos;
    enum json_stop stop = json_digits_take(at);
    if (unlikely(stop != JSON_DONE))
        return stop;
    if (unlikely(at->data[first] == '0' && at->pos - first > 1)) {
        at->pos = first + 1;
        return JSON_BAD_NUMBER;
    }
    stop = json_fraction_take(at);
    if (unlikely(stop != JSON_DONE))
        return stop;
    if (unlikely(at->pos == at->len) && !(at->number_may_end && at->depth == 0))
        return JSON_CUT;
    return JSON_DONE;
}

JSON_INLINE enum json_stop json_word_take(struct json_at *at, const char *word, size_t word_len)
{
    const uint8_t *text = at->data + at->pos;
    if (likely(at->len - at->pos >= word_len && __builtin_memcmp(text, word, word_len) == 0)) {
        at->pos += word_len;
        return JSON_DONE;
    }
    while (at->pos < at->len && at->data[at->pos] == (uint8_t)*word) {
        at->pos++;
        word++;
    }
    return at->pos == at->len ? JSON_CUT : JSON_WANT_VALUE;
}

JSON_INLINE enum json_stop json_scalar_take(struct json_at *at, uint8_t c)
{
    if ((uint8_t)(c - '0') < 10 || c == '-')
        return json_number_take(at);
    if (c == 't')
        return json_word_take(at, "true", 4);
    if (c == 'f')
        return json_word_take(at, "false", 5);
    if (c == 'n')
        return json_word_take(at, "null", 4);
    return JSON_WANT_VALUE;
}

JSON_INLINE void json_value_note(struct json_value *v, const struct json_at *at, size_t start)
{
    static const uint8_t kinds[256] = {
        ['"'] = JSON_STRING, ['{'] = JSON_OBJECT, ['['] = JSON_ARRAY,  ['t'] = JSON_TRUE,
        ['f'] = JSON_FALSE,  ['n'] = JSON_NULL,   ['-'] = JSON_NUMBER, ['0'] = JSON_NUMBER,
        ['1'] = JSON_NUMBER, ['2'] = JSON_NUMBER, ['3'] = JSON_NUMBER, ['4'] = JSON_NUMBER,
        ['5'] = JSON_NUMBER, ['6'] = JSON_NUMBER, ['7'] = JSON_NUMBER, ['8'] = JSON_NUMBER,
        ['9'] = JSON_NUMBER,
    };
    v->raw.data = (const char *)at->data + start;
    v->raw.len = at->pos - start;
    v->kind = kinds[at->data[start]];
    v->escaped = v->kind == JSON_STRING && at->escape_at > start;
}

JSON_INLINE void json_field_note(struct json_at *at, struct json_scan *ret)
{
    struct json_value *v = &ret->fields[at->field];
    uint32_t bit = (uint32_t)1 << at->field;
    v->count = (ret->found & bit) != 0 ? v->count + 1 : 1;
    ret->found |= bit;
    json_value_note(v, at, at->value_at);
    at->field_depth = JSON_NO_FIELD;
}

/* Whether the next two bytes are these: what stands between names and texts where nobody wrote
 * white space. */
JSON_INLINE bool json_pair_follows(const struct json_at *at, const char pair[2])
{
    return at->len - at->pos >= 2 && __builtin_memcmp(at->data + at->pos, pair, 2) == 0;
}

/* A field's name, whose opening quote is at pos. */
JSON_INLINE enum json_stop json_name_text_take(struct json_at *at)
{
    size_t start = at->pos + 1;
    enum json_stop stop = json_string_take(at);
    if (unlikely(stop != JSON_DONE))
        return stop;
    if (at->depth == at->names_depth) {
        const uint8_t *name = at->data + start;
        size_t len = at->pos - 1 - start;
        at->field = likely(at->escape_at < start)
                        ? json_names_find(at->names, name, len, at->data + at->len)
                        : json_names_find_escaped(at->names, name, len);
        at->field_depth = at->field < 0 ? JSON_NO_FIELD : 1;
    }
    return JSON_DONE;
}

/* A field's name with its colon, up to its value. Fields that follow each other as "name":"text",
 * "name":"text" are taken in one go, texts and all; `valued` says that it ended behind a text. */
JSON_INLINE enum json_stop json_fields_take(struct json_at *at, struct json_scan *ret)
{
    at->valued = false;
    enum json_stop stop = json_expect(at, '"', JSON_WANT_NAME);
    if (unlikely(stop != JSON_DONE))
        return stop;
    for (;;) {
        stop = json_name_text_take(at);
        if (unlikely(stop != JSON_DONE))
            return stop;
        if (!json_pair_follows(at, ":\""))
            break;
        at->pos++;
        if (at->depth == at->names_depth)
            at->value_at = at->pos;
        stop = json_string_take(at);
        if (unlikely(stop != JSON_DONE))
            return stop;
        if (at->depth == at->field_depth)
            json_field_note(at, ret);
        at->valued = !json_pair_follows(at, ",\"");
        if (at->valued)
            return JSON_DONE;
        at->pos++;
    }
    stop = json_expect(at, ':', JSON_WANT_COLON);
    if (likely(stop == JSON_DONE))
        at->pos++;
    return stop;
}

/* An opening brace or bracket at pos: up to a value within (opened), behind one, or over the
 * closing one. */
JSON_INLINE enum json_stop json_open_take(struct json_at *at, uint64_t *stack, bool is_object,
                                          struct json_scan *ret)
{
    if (unlikely(at->depth == at->depth_max))
        return JSON_TOO_DEEP;
    at->pos++;
    uint8_t c;
    if (unlikely(!json_peek(at, &c)))
        return JSON_CUT;
    if (unlikely(c == (is_object ? '}' : ']'))) {
        at->pos++;
        return JSON_DONE;
    }
    at->opened = true;
    at->depth++;
    at->closer = is_object ? '}' : ']';
    json_stack_set(stack, at->depth, is_object);
    if (!is_object)
        return JSON_DONE;
    enum json_stop stop = json_fields_take(at, ret);
    at->opened = !at->valued;
    return stop;
}

/* A scalar at pos; or the start of a container, up to a value within (opened), behind one, or its
 * end. */
JSON_INLINE enum json_stop json_value_take(struct json_at *at, uint64_t *stack,
                                           struct json_scan *ret)
{
    at->opened = false;
    uint8_t c;
    if (unlikely(!json_peek(at, &c)))
        return JSON_CUT;
    if (at->depth == at->names_depth)
        at->value_at = at->pos;
    if (likely(c == '"'))
        return json_string_take(at);
    if (c == '{')
        return json_open_take(at, stack, true, ret);
    if (c == '[')
        return json_open_take(at, stack, false, ret);
    return json_scalar_take(at, c);
}

/* After a value: over closing brackets, then over a comma (and fields' names, and texts) to the
 * next value that is to be taken. */
JSON_INLINE enum json_stop json_next_take(struct json_at *at, const uint64_t *stack,
                                          struct json_scan *ret)
{
    while (at->depth != 0) {
        if (at->depth == at->field_depth)
            json_field_note(at, ret);
        uint8_t c;
        if (unlikely(!json_peek(at, &c)))
            return JSON_CUT;
        if (c == ',') {
            at->pos++;
            if (at->closer != '}')
                return JSON_DONE;
            enum json_stop stop = json_fields_take(at, ret);
            if (stop != JSON_DONE || !at->valued)
                return stop;
            continue;
        }
        if (unlikely(c != at->closer))
            return at->closer == '}' ? JSON_WANT_COMMA_OR_BRACE : JSON_WANT_COMMA_OR_BRACKET;
        at->pos++;
        at->depth--;
        if (at->depth != 0)
            at->closer = json_stack_get(stack, at->depth) ? '}' : ']';
    }
    return JSON_DONE;
}

JSON_TARGET enum json_stop JSON_ENGINE(struct json_job *job)
{
    struct json_at at = {.data = job->data,
                         .len = job->len,
                         .block = (size_t)0 - 64,
                         .depth_max = job->depth_max,
                         .number_may_end = job->at_end,
                         .names_depth = job->names == NULL ? 0 : 1,
                         .field_depth = JSON_NO_FIELD,
                         .names = job->names};
    json_stack stack;
    struct json_scan *ret = job->ret;
    ret->found = 0;
    uint8_t first;
    if (!json_peek(&at, &first)) {
        job->stop_at = at.pos;
        return JSON_CUT;
    }
    size_t start = at.pos;
    enum json_stop stop;
    do {
        stop = json_value_take(&at, stack, ret);
        if (stop == JSON_DONE && !at.opened)
            stop = json_next_take(&at, stack, ret);
    } while (stop == JSON_DONE && at.depth != 0);
    job->stop_at = at.pos;
    if (stop == JSON_DONE) {
        json_value_note(&ret->value, &at, start);
        ret->value.count = 1;
        ret->len = at.pos;
    }
    return stop;
}

#undef JSON_NO_FIELD
#undef JSON_INLINE
