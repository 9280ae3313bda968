/*
 * cdc/manifest.c: what the store has of a namespace and of each collection (cdc/delta.h,
 * docs/format.md).
 *
 * A manifest comes from a disk or a bucket that others may have written: every number has bounds,
 * paths stay inside the collection's directory, and the chain of deltas has no gap. What is wrong
 * is ERR_CORRUPT with the manifest's name in front.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/delta.h"
#include "cdc/manifest_json.h"

#define KIND_COLLECTION "collection"
#define KIND_NAMESPACE "namespace"
#define FILE_PATH_BYTES 200

/** The reason that was just recorded, with the file's name in front. */
static err_t name_it(const char *path, err_t err)
{
    if (err == OK)
        return OK;
    char why[sizeof(err_last()->text)];
    memcpy(why, err_text(err), strlen(err_text(err)) + 1);
    return err_fail(err, "%s: %s", path, why);
}

char *collection_dir(const char *namespace_name, struct slice collection)
{
    CLEANUP(xfree_ptr) char *ns = store_component(slice_of(namespace_name));
    CLEANUP(xfree_ptr) char *name = store_component(collection);
    return xasprintf("%s/%s", ns, name);
}

/* Files --------------------------------------------------------------------------------------- */

void store_file_release(struct store_file *f)
{
    free(f->path);
    *f = (struct store_file){0};
}

struct store_file store_file_copy(const struct store_file *f)
{
    struct store_file copy = *f;
    copy.path = f->path != NULL ? xstrdup(f->path) : NULL;
    return copy;
}

json_t *store_file_to_json(const struct store_file *f)
{
    char state[33];
    state_hash_format(f->state_hash, state);
    return json_pack("{s:s, s:I, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:I}", "path",
                     f->path, "size", (json_int_t)f->size, "hash", f->hash, "tail",
                     (json_int_t)f->tail, "tail_hash", f->tail_hash, "rows", (json_int_t)f->rows,
                     "lsn_from", (json_int_t)f->lsn_from, "lsn_to", (json_int_t)f->lsn_to,
                     "ts_min_us", (json_int_t)f->ts_min_us, "ts_max_us", (json_int_t)f->ts_max_us,
                     "state_hash", state, "state_count", (json_int_t)f->state_count, "made_us",
                     (json_int_t)f->made_us);
}

/** A path that stays inside the collection's directory. */
static bool path_is_safe(const char *path)
{
    size_t len = strlen(path);
    if (len == 0 || len > FILE_PATH_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = path[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '-' || c == '_';
        bool first = i == 0 || path[i - 1] == '/';
        if (!plain && (first || (c != '.' && c != '/')))
            return false;
    }
    return path[len - 1] != '/';
}

static err_t read_ranges(const json_t *json, struct store_file *f)
{
    TRY(field_int(json, "lsn_from", 0, INT64_MAX, &f->lsn_from));
    TRY(field_int(json, "lsn_to", f->lsn_from, INT64_MAX, &f->lsn_to));
    TRY(field_int(json, "ts_min_us", INT64_MIN, INT64_MAX, &f->ts_min_us));
    TRY(field_int(json, "ts_max_us", INT64_MIN, INT64_MAX, &f->ts_max_us));
    return field_int(json, "made_us", INT64_MIN, INT64_MAX, &f->made_us);
}

err_t store_file_from_json(const json_t *json, struct store_file *ret)
{
    struct store_file f = {0};
    const char *path;
    char state[33];
    if (!json_is_object(json))
        return err_fail(ERR_CORRUPT, "a file's entry is no object");
    TRY(field_text(json, "path", &path));
    if (!path_is_safe(path))
        return err_fail(ERR_CORRUPT, "\"%.200s\" is no path of a file of a collection", path);
    TRY(field_uint(json, "size", &f.size));
    TRY(field_hash(json, "hash", f.hash));
    TRY(field_uint(json, "tail", &f.tail));
    TRY(field_hash(json, "tail_hash", f.tail_hash));
    TRY(field_uint(json, "rows", &f.rows));
    TRY(read_ranges(json, &f));
    TRY(field_hash(json, "state_hash", state));
    TRY(field_uint(json, "state_count", &f.state_count));
    if (f.tail > f.size || !state_hash_parse(state, &f.state_hash))
        return err_fail(ERR_CORRUPT, "the entry of \"%s\" contradicts itself", path);
    f.path = xstrdup(path);
    *ret = f;
    return OK;
}

/* Collections --------------------------------------------------------------------------------- */

void collection_manifest_free(struct collection_manifest *m)
{
    for (size_t i = 0; i < m->delta_count; i++)
        store_file_release(&m->deltas[i]);
    free(m->deltas);
    store_file_release(&m->data);
    free(m->namespace_name);
    free(m->collection);
    *m = (struct collection_manifest){0};
}

static err_t check_chain(const struct collection_manifest *m)
{
    int64_t at = m->lsn_from;
    for (size_t i = 0; i < m->delta_count; i++) {
        const struct store_file *f = &m->deltas[i];
        if (f->lsn_from != at)
            return err_fail(ERR_CORRUPT,
                            "the chain of deltas has a gap: \"%s\" begins at LSN %lld, the one "
                            "before it ends at %lld",
                            f->path, (long long)f->lsn_from, (long long)at);
        at = f->lsn_to;
    }
    return OK;
}

static err_t parse_deltas(const json_t *json, struct collection_manifest *m)
{
    json_t *deltas;
    TRY(field_array(json, "deltas", &deltas));
    size_t count = json_array_size(deltas);
    m->deltas = xcalloc(MAX(count, 1), sizeof(*m->deltas));
    for (size_t i = 0; i < count; i++) {
        TRY(store_file_from_json(json_array_get(deltas, i), &m->deltas[i]));
        m->delta_count++;
    }
    return check_chain(m);
}

static err_t parse_collection(const json_t *json, struct slice collection,
                              struct collection_manifest *m)
{
    const char *name;
    TRY(field_head(json, KIND_COLLECTION, m->namespace_name));
    TRY(field_text(json, "collection", &name));
    if (!slice_equal(slice_of(name), collection))
        return err_fail(ERR_CORRUPT, "it belongs to another collection");
    m->collection = xstrdup(name);
    TRY(field_int(json, "lsn_from", 0, INT64_MAX, &m->lsn_from));
    TRY(field_uint(json, "next_delta_number", &m->next_delta_number));
    TRY(parse_deltas(json, m));
    const json_t *data = json_object_get(json, "data");
    if (data == NULL)
        return OK;
    TRY(store_file_from_json(data, &m->data));
    m->has_data = true;
    return OK;
}

static char *collection_manifest_path(const char *namespace_name, struct slice collection)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(namespace_name, collection);
    return xasprintf("%s/manifest.json", dir);
}

err_t collection_manifest_read(struct store *s, const char *namespace_name, struct slice collection,
                               struct collection_manifest *ret)
{
    CLEANUP(xfree_ptr) char *path = collection_manifest_path(namespace_name, collection);
    json_t *json;
    TRY(manifest_load(s, path, &json));
    struct collection_manifest m = {.namespace_name = xstrdup(namespace_name)};
    err_t err = name_it(path, parse_collection(json, collection, &m));
    json_decref(json);
    if (err == OK)
        *ret = m;
    else
        collection_manifest_free(&m);
    return err;
}

err_t collection_manifest_write(struct store *s, const struct collection_manifest *m)
{
    CLEANUP(xfree_ptr)
    char *path = collection_manifest_path(m->namespace_name, slice_of(m->collection));
    TRY(name_it(path, check_chain(m)));
    json_t *deltas = json_array();
    for (size_t i = 0; i < m->delta_count; i++)
        (void)json_array_append_new(deltas, store_file_to_json(&m->deltas[i]));
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:o}", "format", MANIFEST_FORMAT, "kind",
                  KIND_COLLECTION, "namespace", m->namespace_name, "collection", m->collection,
                  "lsn_from", (json_int_t)m->lsn_from, "next_delta_number",
                  (json_int_t)m->next_delta_number, "deltas", deltas);
    if (json != NULL && m->has_data)
        (void)json_object_set_new(json, "data", store_file_to_json(&m->data));
    return manifest_save(s, path, json);
}

/* Namespaces ---------------------------------------------------------------------------------- */

void namespace_manifest_free(struct namespace_manifest *m)
{
    for (size_t i = 0; i < m->collection_count; i++)
        free(m->collections[i]);
    free(m->collections);
    free(m->namespace_name);
    *m = (struct namespace_manifest){0};
}

static err_t parse_namespace(const json_t *json, struct namespace_manifest *m)
{
    json_t *names;
    TRY(field_head(json, KIND_NAMESPACE, m->namespace_name));
    TRY(field_int(json, "covered_until", 0, INT64_MAX, &m->covered_until));
    TRY(field_int(json, "covered_until_us", INT64_MIN, INT64_MAX, &m->covered_until_us));
    TRY(field_int(json, "made_us", INT64_MIN, INT64_MAX, &m->made_us));
    TRY(field_array(json, "collections", &names));
    size_t count = json_array_size(names);
    m->collections = xcalloc(MAX(count, 1), sizeof(*m->collections));
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name == NULL || *name == '\0')
            return err_fail(ERR_CORRUPT, "the name of collection %zu is no text", i);
        m->collections[m->collection_count++] = xstrdup(name);
    }
    return OK;
}

static char *namespace_manifest_path(const char *namespace_name)
{
    CLEANUP(xfree_ptr) char *dir = store_component(slice_of(namespace_name));
    return xasprintf("%s/manifest.json", dir);
}

err_t namespace_manifest_read(struct store *s, const char *namespace_name,
                              struct namespace_manifest *ret)
{
    CLEANUP(xfree_ptr) char *path = namespace_manifest_path(namespace_name);
    json_t *json;
    TRY(manifest_load(s, path, &json));
    struct namespace_manifest m = {.namespace_name = xstrdup(namespace_name)};
    err_t err = name_it(path, parse_namespace(json, &m));
    json_decref(json);
    if (err == OK)
        *ret = m;
    else
        namespace_manifest_free(&m);
    return err;
}

err_t namespace_manifest_write(struct store *s, const struct namespace_manifest *m)
{
    CLEANUP(xfree_ptr) char *path = namespace_manifest_path(m->namespace_name);
    json_t *names = json_array();
    for (size_t i = 0; i < m->collection_count; i++) {
        if (json_array_append_new(names, json_string(m->collections[i])) != 0) {
            json_decref(names);
            return manifest_save(s, path, NULL);
        }
    }
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:o}", "format", MANIFEST_FORMAT, "kind",
                  KIND_NAMESPACE, "namespace", m->namespace_name, "covered_until",
                  (json_int_t)m->covered_until, "covered_until_us", (json_int_t)m->covered_until_us,
                  "made_us", (json_int_t)m->made_us, "collections", names);
    return manifest_save(s, path, json);
}
