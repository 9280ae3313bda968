/*
 * kafka/wire/find_coordinator.c: see kafka/wire/find_coordinator.h.
 */
#include "kafka/wire/find_coordinator.h"

void find_coordinator_request_read(struct wire_reader *r, int version, struct arena *arena,
                                   struct find_coordinator_request *ret_request)
{
    *ret_request = (struct find_coordinator_request){.key_count = 1};
    struct slice first = {NULL, 0};
    if (version <= 3)
        first = wire_get_string(r);
    if (version >= 1)
        ret_request->key_type = wire_get_i8(r);
    if (version >= 4)
        ret_request->key_count = wire_get_array(r, 1);
    ret_request->keys = arena_zalloc(arena, ret_request->key_count * sizeof(*ret_request->keys));
    if (version <= 3)
        ret_request->keys[0] = first;
    for (uint32_t i = 0; version >= 4 && i < ret_request->key_count; i++)
        ret_request->keys[i] = wire_get_string(r);
    wire_skip_tags(r);
}

static struct slice text_of(const char *text)
{
    return text == NULL ? (struct slice){NULL, 0} : slice_of(text);
}

/** From version 4 on: the key in front, the error behind. */
static void keyed_answer_write(struct wire_writer *w, struct slice key,
                               const struct find_coordinator_answer *answer)
{
    wire_put_string(w, key);
    wire_put_i32(w, answer->node_id);
    wire_put_string(w, answer->host);
    wire_put_i32(w, answer->port);
    wire_put_i16(w, answer->error);
    wire_put_nullable_string(w, text_of(answer->error_text));
    wire_put_no_tags(w);
}

void find_coordinator_reply_write(struct wire_writer *w, int version,
                                  const struct find_coordinator_request *q,
                                  const struct find_coordinator_answer *answer)
{
    if (version >= 1)
        wire_put_i32(w, 0); /* throttle time */
    if (version >= 4) {
        wire_put_array(w, q->key_count);
        for (uint32_t i = 0; i < q->key_count; i++)
            keyed_answer_write(w, q->keys[i], answer);
    } else {
        wire_put_i16(w, answer->error);
        if (version >= 1)
            wire_put_nullable_string(w, text_of(answer->error_text));
        wire_put_i32(w, answer->node_id);
        wire_put_string(w, answer->host);
        wire_put_i32(w, answer->port);
    }
    wire_put_no_tags(w);
}
