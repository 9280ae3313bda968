/* tests/append.h: events into a shard, without a writer. */
#ifndef TESTS_APPEND_H
#define TESTS_APPEND_H

#include "tests/test.h"
#include "writer/builder.h"

/** Appends JSON texts as one batch, compressed where there are several; returns the offset of the
 * first. With `stamp` their time is that of the append. */
static inline int64_t append_json(struct shard *sh, const char *const *json, size_t count,
                                  int64_t ts_ms, bool stamp)
{
    struct builder *b = builder_new(count > 1 ? BATCH_CODEC_LZ4 : BATCH_CODEC_NONE);
    struct append_batch batch = {.stamp_append_time = stamp};
    uint32_t records;
    for (size_t i = 0; i < count; i++)
        assert_ok(builder_add(b, &(struct event_record){.ts_ms = ts_ms,
                                                        .value = {slice_of(json[i])},
                                                        .type = SLICE("t")}));
    builder_seal(b, &batch.data, &batch.len, &records);
    builder_free(b);
    assert_ok(shard_append(sh, &batch, 1));
    shard_upkeep(sh);
    free(batch.data);
    return batch.base_offset;
}

#endif
