/*
 * kafka/api_table.c: what is served: one row per API key. A further API is a row here, its messages
 * in kafka/wire/, its handler, its tests and its line in docs/kafka.md.
 *
 * The ranges are CONTRACT: old librdkafka switches features on by exact versions that must lie
 * inside (docs/kafka.md, "Clients"). Produce is therefore advertised from 0 although record batches
 * came with 3, and FindCoordinator exists before there are groups: without it librdkafka does not
 * compress with lz4.
 */
#include "kafka/handlers.h"

#include "base/limits.h"
#include "kafka/wire/api_versions.h"
#include "kafka/wire/fetch.h"
#include "kafka/wire/find_coordinator.h"
#include "kafka/wire/list_offsets.h"
#include "kafka/wire/produce.h"

#define SMALL LIMIT_KAFKA_SMALL_REQUEST_BYTES

static const struct kafka_api rows[] = {
    {.key = KAFKA_PRODUCE,
     .name = "Produce",
     .min = 0,
     .max = 9,
     .first_flexible = PRODUCE_FLEXIBLE,
     .max_bytes = LIMIT_KAFKA_REQUEST_BYTES,
     .borrows = true,
     .pipelined = true,
     .handle = produce_handle},
    {.key = KAFKA_FETCH,
     .name = "Fetch",
     .min = 4,
     .max = 12,
     .first_flexible = FETCH_FLEXIBLE,
     .max_bytes = SMALL,
     .handle = fetch_handle},
    {.key = KAFKA_LIST_OFFSETS,
     .name = "ListOffsets",
     .min = 0,
     .max = 7,
     .first_flexible = LIST_OFFSETS_FLEXIBLE,
     .max_bytes = SMALL,
     .handle = list_offsets_handle},
    {.key = KAFKA_METADATA,
     .name = "Metadata",
     .min = 0,
     .max = 12,
     .first_flexible = METADATA_FLEXIBLE,
     .max_bytes = SMALL,
     .handle = metadata_handle},
    {.key = KAFKA_FIND_COORDINATOR,
     .name = "FindCoordinator",
     .min = 0,
     .max = 4,
     .first_flexible = FIND_COORDINATOR_FLEXIBLE,
     .max_bytes = SMALL,
     .handle = find_coordinator_handle},
    {.key = KAFKA_API_VERSIONS,
     .name = "ApiVersions",
     .min = 0,
     .max = 4,
     .first_flexible = API_VERSIONS_FLEXIBLE,
     .max_bytes = SMALL,
     .handle = api_versions_handle,
     .unsupported = api_versions_unsupported},
};

const struct kafka_api *api_find(int16_t key)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].key == key)
            return &rows[i];
    return NULL;
}

const struct kafka_api *api_rows(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(rows);
    return rows;
}
