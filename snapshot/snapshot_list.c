/*
 * snapshot/snapshot_list.c: snapshots/manifest.json: which snapshots a collection has.
 *
 *     {"format":1, "kind":"snapshots", "namespace":…, "collection":…,
 *      "snapshots":[{"name":…, "type":"manual|daily|monthly", "file":{…}}], "hash":…}
 *
 * A file's entry is that of cdc/delta.h.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/manifest_json.h"
#include "snapshot/jobs.h"

#define KIND "snapshots"

static const char *const types[] = {
    [SNAPSHOT_MANUAL] = "manual",
    [SNAPSHOT_DAILY] = "daily",
    [SNAPSHOT_MONTHLY] = "monthly",
};

const char *snapshot_type_name(enum snapshot_type type)
{
    return types[type];
}

void snapshot_free(struct snapshot *s)
{
    free(s->name);
    store_file_release(&s->file);
    *s = (struct snapshot){0};
}

void snapshot_list_free(struct snapshot_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        snapshot_free(&l->items[i]);
    free(l->items);
    *l = (struct snapshot_list){0};
}

const struct snapshot *snapshot_find(const struct snapshot_list *l, struct slice name)
{
    for (size_t i = 0; i < l->count; i++)
        if (slice_equal(slice_of(l->items[i].name), name))
            return &l->items[i];
    return NULL;
}

err_t no_snapshot(const char *namespace_name, struct slice collection, struct slice name)
{
    return err_fail(ERR_NOT_FOUND,
                    "%s/%.*s has no snapshot \"%.*s\"; `spillway snapshot list` shows them",
                    namespace_name, (int)MIN(collection.len, 200), collection.data,
                    (int)MIN(name.len, 100), name.data);
}

char *snapshot_path(const char *name)
{
    return xasprintf("snapshots/%s.parquet", name);
}

static err_t parse_type(const json_t *json, enum snapshot_type *ret)
{
    const char *text;
    TRY(field_text(json, "type", &text));
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(text, types[i]) == 0) {
            *ret = (enum snapshot_type)i;
            return OK;
        }
    }
    return err_fail(ERR_CORRUPT, "a snapshot has the unknown type \"%.40s\"", text);
}

static err_t parse_snapshot(const json_t *json, struct snapshot *s)
{
    const char *name;
    TRY(field_text(json, "name", &name));
    TRY(parse_type(json, &s->type));
    TRY(store_file_from_json(json_object_get(json, "file"), &s->file));
    CLEANUP(xfree_ptr) char *path = snapshot_path(name);
    if (strcmp(path, s->file.path) != 0 || s->file.lsn_from != 0)
        return err_fail(ERR_CORRUPT, "the entry of the snapshot \"%.100s\" contradicts itself",
                        name);
    s->name = xstrdup(name);
    return OK;
}

static int by_lsn_and_name(const void *va, const void *vb)
{
    const struct snapshot *a = va, *b = vb;
    if (a->file.lsn_to != b->file.lsn_to)
        return a->file.lsn_to < b->file.lsn_to ? -1 : 1;
    return strcmp(a->name, b->name);
}

static err_t parse_list(const json_t *json, const char *namespace_name, struct slice collection,
                        struct snapshot_list *l)
{
    const char *name;
    json_t *items;
    TRY(field_head(json, KIND, namespace_name));
    TRY(field_text(json, "collection", &name));
    if (!slice_equal(slice_of(name), collection))
        return err_fail(ERR_CORRUPT, "it belongs to another collection");
    TRY(field_array(json, "snapshots", &items));
    size_t count = json_array_size(items);
    l->items = xcalloc(MAX(count, 1), sizeof(*l->items));
    for (size_t i = 0; i < count; i++) {
        l->count++;
        TRY(parse_snapshot(json_array_get(items, i), &l->items[i]));
    }
    qsort(l->items, l->count, sizeof(*l->items), by_lsn_and_name);
    return OK;
}

static char *list_dir(const char *namespace_name, struct slice collection)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(namespace_name, collection);
    return xasprintf("%s/snapshots", dir);
}

static void note_snapshot(void *arg, const char *name, bool is_dir)
{
    *(bool *)arg |= !is_dir && is_parquet(name);
}

/** ERR_NOT_FOUND: there are no snapshots. Those without a manifest are damage (J4). */
static err_t load(struct store *s, const char *dir, const char *path, json_t **ret)
{
    bool found = false;
    err_t err = manifest_load(s, path, ret);
    if (err != ERR_NOT_FOUND)
        return err;
    TRY(store_list(s, dir, note_snapshot, &found));
    if (!found)
        return ERR_NOT_FOUND;
    err = manifest_load(s, path, ret); /* the first may have been made in between */
    if (err == ERR_NOT_FOUND)
        return err_fail(ERR_CORRUPT,
                        "%s is missing, but there are snapshots: bring it back from a copy of the "
                        "store, or, where there is none, move them out of the store",
                        path);
    return err;
}

err_t snapshot_list_read(struct store *s, const char *namespace_name, struct slice collection,
                         struct snapshot_list *ret)
{
    CLEANUP(xfree_ptr) char *dir = list_dir(namespace_name, collection);
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/manifest.json", dir);
    CLEANUP(snapshot_list_free) struct snapshot_list l = {0};
    json_t *json;
    err_t err = load(s, dir, path, &json);
    if (err == ERR_NOT_FOUND) {
        *ret = (struct snapshot_list){0};
        return OK;
    }
    TRY(err);
    err = parse_list(json, namespace_name, collection, &l);
    json_decref(json);
    if (err != OK) {
        CLEANUP(xfree_ptr) char *why = xstrdup(err_text(err));
        return err_fail(err, "%s: %s", path, why);
    }
    *ret = l;
    l = (struct snapshot_list){0};
    return OK;
}

err_t snapshot_list_write(const struct job *j, const struct snapshot_list *l)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/snapshots/manifest.json", j->dir);
    json_t *items = json_array();
    for (size_t i = 0; i < l->count; i++)
        (void)json_array_append_new(items, json_pack("{s:s, s:s, s:o}", "name", l->items[i].name,
                                                     "type", types[l->items[i].type], "file",
                                                     store_file_to_json(&l->items[i].file)));
    json_t *json = json_pack("{s:i, s:s, s:s, s:s%, s:o}", "format", MANIFEST_FORMAT, "kind", KIND,
                             "namespace", j->namespace_name, "collection", j->collection.data,
                             j->collection.len, "snapshots", items);
    return manifest_save(j->store, path, json);
}
