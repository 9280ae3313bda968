/*
 * cdc/manifest_json.h: reading the fields of a manifest, each with its bounds. For cdc/ and
 * snapshot/.
 */
#ifndef CDC_MANIFEST_JSON_H
#define CDC_MANIFEST_JSON_H

#include <jansson.h>

#include "base/base.h"
#include "base/err.h"

#define MANIFEST_FORMAT 1

/** Each fails with ERR_CORRUPT and a sentence that names the key. */
err_t field_int(const json_t *object, const char *key, int64_t min, int64_t max,
                int64_t *ret) MUST_USE;
err_t field_uint(const json_t *object, const char *key, uint64_t *ret) MUST_USE;
/** Borrowed from the object. */
err_t field_text(const json_t *object, const char *key, const char **ret) MUST_USE;
/** 32 lower-case hex digits and a NUL. */
err_t field_hash(const json_t *object, const char *key, char out[33]) MUST_USE;
/** Borrowed. */
err_t field_array(const json_t *object, const char *key, json_t **ret) MUST_USE;
/** "format", "kind" and "namespace" are as expected. */
err_t field_head(const json_t *object, const char *kind, const char *namespace_name) MUST_USE;

#endif
