/* A stream made ahead is the stream: every document, its end, its error in the words of the other
 * thread; stopping at any place. */
#include "tests/test.h"

#include <stdio.h>

#include "snapshot/ahead.h"

struct counter {
    uint64_t at, count;
    err_t end;
    size_t doc_len;
    char id[32];
    char *doc;
};

static err_t next_counted(void *arg, struct state_doc *ret)
{
    struct counter *c = arg;
    if (c->at == c->count)
        return c->end == ERR_END ? ERR_END
                                 : err_fail(c->end, "deltas/%06llu.parquet is damaged",
                                            (unsigned long long)c->at);
    int n = snprintf(c->id, sizeof(c->id), "doc-%llu", (unsigned long long)c->at);
    memset(c->doc, (int)('a' + c->at % 26), c->doc_len);
    *ret = (struct state_doc){.id = {c->id, (size_t)n},
                              .doc = {c->doc, c->doc_len},
                              .lsn = (int64_t)c->at,
                              .ts_us = (int64_t)c->at * 3};
    c->at++;
    return OK;
}

/** Takes `take` documents and checks each; the stream's outcome. */
static err_t take(struct ahead *a, const struct counter *c, uint64_t take)
{
    struct state_doc doc;
    for (uint64_t i = 0; i < take; i++) {
        char id[32];
        TRY(ahead_next(a, &doc));
        snprintf(id, sizeof(id), "doc-%llu", (unsigned long long)i);
        assert_true(slice_equal(doc.id, slice_of(id)));
        assert_int_equal(doc.doc.len, c->doc_len);
        assert_int_equal(doc.doc.data[0], 'a' + i % 26);
        assert_int_equal(doc.doc.data[c->doc_len - 1], 'a' + i % 26);
        assert_int_equal(doc.lsn, i);
        assert_int_equal(doc.ts_us, i * 3);
    }
    return OK;
}

static void a_stream_arrives_whole_with_its_end(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 1, 2047, 2048, 2049, 100000};
    static const size_t lengths[] = {1, 200, 5000};
    static const err_t ends[] = {ERR_END, ERR_CORRUPT};
    for (size_t i = 0; i < ARRAY_LEN(counts) * ARRAY_LEN(lengths) * ARRAY_LEN(ends); i++) {
        struct counter c = {.count = counts[i % ARRAY_LEN(counts)],
                            .doc_len = lengths[i / ARRAY_LEN(counts) % ARRAY_LEN(lengths)],
                            .end = ends[i / (ARRAY_LEN(counts) * ARRAY_LEN(lengths))]};
        struct state_doc doc;
        char text[64];
        c.doc = xmalloc(c.doc_len);
        struct ahead *a = ahead_start(next_counted, &c);
        assert_non_null(a);
        assert_ok(take(a, &c, c.count));
        for (unsigned again = 0; again < 2; again++) {
            assert_int_equal(ahead_next(a, &doc), c.end);
            snprintf(text, sizeof(text), "deltas/%06llu.parquet is damaged",
                     (unsigned long long)c.count);
            if (c.end != ERR_END)
                assert_string_equal(err_text(c.end), text);
        }
        ahead_stop(a);
        free(c.doc);
    }
}

static void a_stream_can_be_left_at_any_place(void **state)
{
    (void)state;
    for (uint64_t left = 0; left < 20000; left += 997) {
        struct counter c = {.count = UINT64_MAX, .doc_len = 100, .end = ERR_END};
        c.doc = xmalloc(c.doc_len);
        struct ahead *a = ahead_start(next_counted, &c);
        assert_non_null(a);
        assert_ok(take(a, &c, left));
        ahead_stop(a);
        assert_true(c.at >= left);
        free(c.doc);
    }
    ahead_stop(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_arrives_whole_with_its_end),
        cmocka_unit_test(a_stream_can_be_left_at_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
