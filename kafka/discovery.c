/*
 * kafka/discovery.c: ApiVersions (what is served) and FindCoordinator (who coordinates a group).
 */
#include "base/logger.h"
#include "kafka/handlers.h"
#include "kafka/reply.h"
#include "kafka/wire/api_versions.h"
#include "kafka/wire/find_coordinator.h"

#define RANGES_MAX 64

static void api_versions_reply(struct kafka_request *rq, int version, int16_t error)
{
    size_t count;
    const struct kafka_api *rows = api_rows(&count);
    struct api_version_range ranges[RANGES_MAX];
    ASSERT(count <= RANGES_MAX);
    for (size_t i = 0; i < count; i++)
        ranges[i] = (struct api_version_range){rows[i].key, rows[i].min, rows[i].max};
    struct wire_writer w = reply_begin_classic(rq, version >= API_VERSIONS_FLEXIBLE);
    api_versions_reply_write(&w, version, error, ranges, (uint32_t)count);
    request_done(rq);
}

err_t api_versions_handle(struct kafka_request *rq, struct wire_reader *in)
{
    struct api_versions_request q;
    api_versions_request_read(in, rq->header.version, &q);
    TRY(wire_request_end(in, "ApiVersions"));
    if (q.software_name.len > 0 && logger_enabled(LOG_LEVEL_DEBUG)) {
        char *name = arena_strndup(&rq->arena, q.software_name.data, q.software_name.len);
        char *version = arena_strndup(&rq->arena, q.software_version.data, q.software_version.len);
        LOG_DEBUG("kafka_client", F("name", name), F("version", version));
    }
    api_versions_reply(rq, rq->header.version, KAFKA_NONE);
    return OK;
}

void api_versions_unsupported(struct kafka_request *rq)
{
    api_versions_reply(rq, 0, KAFKA_UNSUPPORTED_VERSION);
}

err_t find_coordinator_handle(struct kafka_request *rq, struct wire_reader *in)
{
    struct find_coordinator_request q;
    find_coordinator_request_read(in, rq->header.version, &rq->arena, &q);
    TRY(wire_request_end(in, "FindCoordinator"));
    struct find_coordinator_answer answer = {.error = KAFKA_COORDINATOR_NOT_AVAILABLE,
                                             .error_text = "there are no consumer groups here yet",
                                             .node_id = -1,
                                             .host = SLICE(""),
                                             .port = -1};
    struct wire_writer w = reply_begin(rq);
    find_coordinator_reply_write(&w, rq->header.version, &q, &answer);
    request_done(rq);
    return OK;
}
