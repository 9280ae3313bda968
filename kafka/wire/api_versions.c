/*
 * kafka/wire/api_versions.c: see kafka/wire/api_versions.h.
 */
#include "kafka/wire/api_versions.h"

void api_versions_request_read(struct wire_reader *r, int version,
                               struct api_versions_request *ret_request)
{
    *ret_request = (struct api_versions_request){0};
    if (version >= API_VERSIONS_FLEXIBLE) {
        ret_request->software_name = wire_get_string(r);
        ret_request->software_version = wire_get_string(r);
    }
    wire_skip_tags(r);
}

void api_versions_reply_write(struct wire_writer *w, int version, int16_t error,
                              const struct api_version_range *ranges, uint32_t count)
{
    wire_put_i16(w, error);
    wire_put_array(w, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_i16(w, ranges[i].key);
        wire_put_i16(w, ranges[i].min);
        wire_put_i16(w, ranges[i].max);
        wire_put_no_tags(w);
    }
    if (version >= 1)
        wire_put_i32(w, 0); /* throttle time */
    wire_put_no_tags(w);
}
