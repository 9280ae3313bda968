/*
 * kafka/wire/api_versions.h: ApiVersions, key 18, versions 0-4 (ApiVersionsRequest.json,
 * ApiVersionsResponse.json; KIP-35, KIP-511). Flexible from 3 on, but the reply's header never is.
 */
#ifndef KAFKA_WIRE_API_VERSIONS_H
#define KAFKA_WIRE_API_VERSIONS_H

#include "kafka/wire/wire.h"

#define API_VERSIONS_FLEXIBLE 3

struct api_versions_request {
    struct slice software_name; /* from version 3 on */
    struct slice software_version;
};

struct api_version_range {
    int16_t key;
    int16_t min;
    int16_t max;
};

void api_versions_request_read(struct wire_reader *r, int version,
                               struct api_versions_request *ret_request);
void api_versions_reply_write(struct wire_writer *w, int version, int16_t error,
                              const struct api_version_range *ranges, uint32_t count);

#endif
