/*
 * cdc/manifest_json.c: a manifest's text. What was written is
 *
 *     {…,
 *       "hash": "<32 hex digits>"
 *     }
 *
 * with the XXH3_128 of every byte before the comma; what stands behind is compared byte for byte.
 * So a change of any byte is seen before the text is parsed.
 */
#include "cdc/manifest_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "cdc/delta.h"

#define HASH_DIGITS (HASH128_TEXT - 1)
#define SEAL_HEAD ",\n  \"hash\": \""
#define SEAL_TAIL "\"\n}\n"
#define SEAL_BYTES (sizeof(SEAL_HEAD) - 1 + HASH_DIGITS + sizeof(SEAL_TAIL) - 1)
#define OBJECT_END "\n}" /* of jansson's indented output */

/** What stands behind `len` bytes of a manifest. */
static void seal(const char *data, size_t len, char out[SEAL_BYTES + 1])
{
    char text[HASH128_TEXT];
    hash128_format(hash128(data, len), text);
    (void)snprintf(out, SEAL_BYTES + 1, SEAL_HEAD "%s" SEAL_TAIL, text);
}

err_t manifest_load(struct store *s, const char *path, struct json_t **ret_json)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    TRY(store_get(s, path, LIMIT_MANIFEST_BYTES, &text));
    char want[SEAL_BYTES + 1];
    size_t body = text.len > SEAL_BYTES ? text.len - SEAL_BYTES : 0;
    if (body > 0)
        seal(text.data, body, want);
    if (body == 0 || memcmp(text.data + body, want, SEAL_BYTES) != 0)
        return err_fail(ERR_CORRUPT,
                        "%s is damaged: its bytes do not have the hash that stands at its end",
                        path);
    json_error_t why;
    json_t *json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL || !json_is_object(json)) {
        json_decref(json);
        return err_fail(ERR_CORRUPT, "%s is no JSON object: %s", path, why.text);
    }
    *ret_json = json;
    return OK;
}

static err_t save_text(struct store *s, const char *path, char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    size_t end = sizeof(OBJECT_END) - 1;
    if (len <= end + 1 || memcmp(text + len - end, OBJECT_END, end) != 0)
        return err_fail(ERR_INTERNAL, "%s cannot be written as JSON", path);
    len -= end;
    char sealed[SEAL_BYTES + 1];
    seal(text, len, sealed);
    if (len + SEAL_BYTES > LIMIT_MANIFEST_BYTES)
        return err_fail(ERR_UNAVAILABLE,
                        "%s would exceed %zu bytes: merge the collection's deltas with `spillway "
                        "compact` first",
                        path, (size_t)LIMIT_MANIFEST_BYTES);
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    buf_append(&out, text, len);
    buf_append(&out, sealed, SEAL_BYTES);
    return store_put(s, path, out.data, out.len, true);
}

err_t manifest_save(struct store *s, const char *path, struct json_t *json)
{
    if (json == NULL)
        return err_fail(ERR_VALIDATION, "%s: a name in it is not UTF-8", path);
    CLEANUP(xfree_ptr) char *text = json_dumps(json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(json);
    return save_text(s, path, text);
}

/* Fields -------------------------------------------------------------------------------------- */

err_t field_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return err_fail(ERR_CORRUPT, "\"%s\" is missing or out of bounds", key);
    *ret = json_integer_value(v);
    return OK;
}

err_t field_uint(const json_t *object, const char *key, uint64_t *ret)
{
    int64_t v = 0;
    TRY(field_int(object, key, 0, INT64_MAX, &v));
    *ret = (uint64_t)v;
    return OK;
}

err_t field_text(const json_t *object, const char *key, const char **ret)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v))
        return err_fail(ERR_CORRUPT, "\"%s\" is missing or no text", key);
    *ret = json_string_value(v);
    return OK;
}

err_t field_hash(const json_t *object, const char *key, char out[33])
{
    const char *text;
    TRY(field_text(object, key, &text));
    if (strlen(text) != HASH_DIGITS || strspn(text, "0123456789abcdef") != HASH_DIGITS)
        return err_fail(ERR_CORRUPT, "\"%s\" is no hash of 32 hex digits", key);
    memcpy(out, text, HASH_DIGITS + 1);
    return OK;
}

err_t field_array(const json_t *object, const char *key, json_t **ret)
{
    json_t *v = json_object_get(object, key);
    if (!json_is_array(v))
        return err_fail(ERR_CORRUPT, "\"%s\" is missing or no array", key);
    *ret = v;
    return OK;
}

err_t field_head(const json_t *object, const char *kind, const char *namespace_name)
{
    int64_t format;
    const char *text;
    TRY(field_int(object, "format", 1, INT64_MAX, &format));
    if (format > MANIFEST_FORMAT)
        return err_fail(ERR_CORRUPT, "it was written by a newer version (format %lld)",
                        (long long)format);
    TRY(field_text(object, "kind", &text));
    if (strcmp(text, kind) != 0)
        return err_fail(ERR_CORRUPT, "it is a manifest of another kind");
    TRY(field_text(object, "namespace", &text));
    if (strcmp(text, namespace_name) != 0)
        return err_fail(ERR_CORRUPT, "it belongs to another namespace");
    return OK;
}
