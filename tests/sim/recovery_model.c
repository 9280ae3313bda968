/*
 * tests/sim/recovery_model.c: what the log says, read by jansson and applied one by one.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "tests/sim/recovery.h"

#define PLAIN_BYTES_MAX MIB(64)

static const char *const names[REC_COLLECTIONS] = {"orders", "us/ers"};

struct slice rec_collection(unsigned i)
{
    return slice_of(names[i]);
}

const char *rec_model_text(const struct rec_model *m, int64_t lsn)
{
    return lsn < 0 ? NULL : m->events[lsn].doc;
}

/** Whether the change takes effect on a document that stands at `at`. */
static bool holds(const struct rec_event *e, int64_t at)
{
    if (e->expect < 0)
        return true;
    if (e->expect > 0)
        return at == e->expect;
    /* 0 says "absent", but where a restore changes what is there it is the version of LSN 0. */
    return e->of_restore && e->op != 'i' ? at == 0 : at < 0;
}

static void apply(struct rec_docs *docs, const struct rec_event *e, int64_t lsn)
{
    if (!e->skipped)
        docs->at[e->id] = e->op == 'd' ? -1 : lsn;
}

void rec_model_docs(const struct rec_model *m, unsigned collection, int64_t lsn_to,
                    struct rec_docs *ret)
{
    memset(ret, 0xff, sizeof(*ret));
    for (int64_t lsn = 0; lsn < MIN(lsn_to, m->end); lsn++)
        if (m->events[lsn].kind == REC_CHANGE && m->events[lsn].collection == collection)
            apply(ret, &m->events[lsn], lsn);
}

bool rec_model_changed(const struct rec_model *m, unsigned collection, int64_t lsn_to)
{
    for (int64_t lsn = 0; lsn < MIN(lsn_to, m->end); lsn++)
        if (m->events[lsn].kind == REC_CHANGE && m->events[lsn].collection == collection)
            return true;
    return false;
}

struct state_hash rec_model_hash(const struct rec_model *m, const struct rec_docs *docs,
                                 uint64_t *ret_count)
{
    struct state_hash h = {0};
    *ret_count = 0;
    for (unsigned id = 0; id < REC_IDS; id++) {
        char text[16];
        if (docs->at[id] < 0)
            continue;
        int len = snprintf(text, sizeof(text), "d%u", id);
        state_hash_add(&h, state_hash_of((struct slice){text, (size_t)len},
                                         slice_of(m->events[docs->at[id]].doc)));
        ++*ret_count;
    }
    return h;
}

/* Reading ------------------------------------------------------------------------------------- */

/** The bytes of "doc" as they were sent: it is the last member of every event of these tests. */
static char *doc_text(struct slice value)
{
    static const char key[] = ",\"doc\":";
    const char *at = memmem(value.data, value.len, key, sizeof(key) - 1);
    if (at == NULL)
        return NULL;
    at += sizeof(key) - 1;
    return xstrndup(at, (size_t)(value.data + value.len - 1 - at));
}

static unsigned collection_number(const char *name)
{
    unsigned i = 0;
    while (i < REC_COLLECTIONS && strcmp(names[i], name) != 0)
        i++;
    ASSERT(i < REC_COLLECTIONS);
    return i;
}

static void read_change(struct rec_event *e, const json_t *json, const char *op, struct slice value)
{
    const char *ts = json_string_value(json_object_get(json, "ts"));
    const char *id = json_string_value(json_object_get(json, "docId"));
    const json_t *expect = json_object_get(json, "expect");
    if (id == NULL) {
        e->kind = REC_MALFORMED;
        return;
    }
    e->kind = REC_CHANGE;
    e->op = op[0];
    e->of_restore = json_object_get(json, "restore") != NULL;
    e->collection = collection_number(json_string_value(json_object_get(json, "collection")));
    e->id = (unsigned)strtoul(id + 1, NULL, 10);
    ASSERT(id[0] == 'd' && e->id < REC_IDS);
    e->expect = expect == NULL ? -1 : json_integer_value(expect);
    ASSERT(timefmt_parse(ts, strlen(ts), &e->ts_us));
    e->doc = doc_text(value);
}

static struct rec_event read_event(struct slice value)
{
    static const char prefix[] = "collection.";
    struct rec_event e = {.kind = REC_OTHER};
    json_t *json = json_loadb(value.data, value.len, 0, NULL);
    const char *type = json_string_value(json_object_get(json, "type"));
    ASSERT(type != NULL);
    if (strncmp(type, prefix, sizeof(prefix) - 1) == 0)
        read_change(&e, json, type + sizeof(prefix) - 1, value);
    json_decref(json);
    return e;
}

static void push(struct rec_model *m, struct slice value)
{
    if (m->end == m->cap) {
        m->cap = MAX(256, m->cap * 2);
        m->events = xrealloc(m->events, (size_t)m->cap * sizeof(*m->events));
    }
    struct rec_event *e = &m->events[m->end];
    *e = read_event(value);
    if (e->kind == REC_CHANGE) {
        e->skipped = !holds(e, m->now[e->collection].at[e->id]);
        apply(&m->now[e->collection], e, m->end);
    }
    m->end++;
}

static err_t learn_batch(struct rec_model *m, const uint8_t *batch, const struct batch_header *h)
{
    struct record_reader records;
    struct record rec;
    err_t err;
    TRY(record_reader_open(&records, batch, batch_total_bytes(h), PLAIN_BYTES_MAX));
    while ((err = record_reader_next(&records, &rec)) == OK)
        if (rec.offset == m->end)
            push(m, rec.value);
    record_reader_close(&records);
    return err == ERR_END ? OK : err;
}

err_t rec_model_learn(struct rec_model *m, struct shard *sh)
{
    struct log_reader reader;
    const uint8_t *batch;
    struct batch_header h;
    TRY(log_reader_open(&reader, sh, m->end));
    err_t err;
    while ((err = log_reader_next(&reader, &batch, &h)) == OK) {
        err = learn_batch(m, batch, &h);
        if (err != OK)
            break;
    }
    log_reader_close(&reader);
    return err == ERR_END ? OK : err;
}

void rec_model_release(struct rec_model *m)
{
    for (int64_t lsn = 0; lsn < m->end; lsn++)
        free(m->events[lsn].doc);
    free(m->events);
}
