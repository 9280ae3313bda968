/*
 * snapshot/collections.c: the names of namespaces and collections: of the store's manifests, the
 * state, and the part of the log that neither has seen.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/log_part.h"

void name_list_free(struct name_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
    *l = (struct name_list){0};
}

static void name_list_add(struct name_list *l, struct slice name)
{
    /* Most are repeats of the one before. */
    if (l->count > 0 && slice_equal(slice_of(l->names[l->count - 1]), name))
        return;
    l->names = xrealloc(l->names, (l->count + 1) * sizeof(char *));
    l->names[l->count++] = xstrndup(name.data, name.len);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** Sorts and drops repeats. */
static void name_list_settle(struct name_list *l)
{
    size_t kept = 0;
    if (l->count > 0)
        qsort(l->names, l->count, sizeof(char *), by_bytes);
    for (size_t i = 0; i < l->count; i++) {
        if (kept > 0 && strcmp(l->names[kept - 1], l->names[i]) == 0)
            free(l->names[i]);
        else
            l->names[kept++] = l->names[i];
    }
    l->count = kept;
}

/* Namespaces ---------------------------------------------------------------------------------- */

static void add_stream(void *arg, struct slice stream)
{
    CLEANUP(xfree_ptr) char *name = xstrndup(stream.data, stream.len);
    CLEANUP(xfree_ptr) char *namespace_name = cdc_namespace_of(name);
    if (namespace_name != NULL)
        name_list_add(arg, slice_of(namespace_name));
}

static void on_stream(void *arg, struct stream *s)
{
    add_stream(arg, slice_of(stream_name(s)));
}

static err_t on_log_dir(void *arg, const char *name)
{
    add_stream(arg, slice_of(name));
    return OK;
}

struct store_walk {
    struct store *store;
    struct name_list *names;
};

/** A namespace's directory has a manifest that says its name. */
static void on_store_dir(void *arg, const char *name, bool is_dir)
{
    struct store_walk *w = arg;
    json_t *json;
    if (!is_dir)
        return;
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/manifest.json", name);
    if (manifest_load(w->store, path, &json) != OK)
        return;
    const char *real = json_string_value(json_object_get(json, "namespace"));
    if (real != NULL)
        name_list_add(w->names, slice_of(real));
    json_decref(json);
}

/** The namespaces that have a log or a manifest. */
static err_t read_namespaces(struct source *s, struct name_list *ret)
{
    CLEANUP(name_list_free) struct name_list l = {0};
    struct store_walk walk = {source_store(s), &l};
    if (source_log(s) != NULL) {
        log_each_stream(source_log(s), on_stream, &l);
    } else if (source_data_dir(s) != NULL) {
        CLEANUP(xfree_ptr) char *dir = xasprintf("%s/log", source_data_dir(s));
        TRY(io_list(source_io(s), dir, on_log_dir, &l));
    }
    if (walk.store != NULL)
        TRY(store_list(walk.store, "", on_store_dir, &walk));
    name_list_settle(&l);
    *ret = l;
    l = (struct name_list){0};
    return OK;
}

/* Collections --------------------------------------------------------------------------------- */

static bool on_state_collection(void *arg, const struct state_collection *c)
{
    name_list_add(arg, (struct slice){c->name, c->name_len});
    return true;
}

static err_t on_change(void *arg, const struct change *c)
{
    name_list_add(arg, c->collection);
    return OK;
}

/** *ret_known: whether there is such a namespace; *ret_from: the log is to be read from here. */
static err_t from_store(struct source *s, const char *namespace_name, struct name_list *l,
                        bool *ret_known, int64_t *ret_from)
{
    struct namespace_manifest m;
    if (source_store(s) == NULL)
        return OK;
    err_t err = namespace_manifest_read(source_store(s), namespace_name, &m);
    if (err != OK)
        return err == ERR_NOT_FOUND ? OK : err;
    for (size_t i = 0; i < m.collection_count; i++)
        name_list_add(l, slice_of(m.collections[i]));
    *ret_known = true;
    *ret_from = m.covered_until;
    namespace_manifest_free(&m);
    return OK;
}

static err_t from_state(struct source *s, const char *namespace_name, struct name_list *l,
                        int64_t *ret_from)
{
    struct state *state;
    int64_t cursor = 0;
    err_t err = source_state(s, namespace_name, &state);
    if (err == ERR_NOT_FOUND || err == ERR_CORRUPT)
        return OK;
    TRY(err);
    err = state_each_collection(state, on_state_collection, l);
    if (err == OK)
        err = state_cursor(state, &cursor);
    state_close(state);
    *ret_from = MAX(*ret_from, cursor);
    return err;
}

static err_t from_log(struct source *s, const char *namespace_name, struct name_list *l,
                      bool *ret_known, int64_t from)
{
    struct log_part part = {.namespace_name = namespace_name};
    int64_t start;
    err_t err = source_log_range(s, namespace_name, &start, &part.to);
    if (err != OK)
        return err == ERR_NOT_FOUND ? OK : err;
    *ret_known = true;
    part.base = part.from = MAX(start, from);
    return log_part_each_raw(s, &part, on_change, l);
}

err_t source_collections(struct source *s, const char *namespace_name, struct name_list *ret)
{
    CLEANUP(name_list_free) struct name_list l = {0};
    bool known = false;
    int64_t from = 0;
    TRY(from_store(s, namespace_name, &l, &known, &from));
    TRY(from_state(s, namespace_name, &l, &from));
    TRY(from_log(s, namespace_name, &l, &known, from));
    if (!known)
        return err_fail(ERR_NOT_FOUND, "there is no namespace \"%s\"", namespace_name);
    name_list_settle(&l);
    *ret = l;
    l = (struct name_list){0};
    return OK;
}

static err_t each_of_namespace(struct source *s, const char *namespace_name,
                               err_t (*fn)(void *arg, const char *namespace_name,
                                           struct slice collection),
                               void *arg)
{
    CLEANUP(name_list_free) struct name_list names = {0};
    TRY(source_collections(s, namespace_name, &names));
    for (size_t i = 0; i < names.count; i++)
        TRY(fn(arg, namespace_name, slice_of(names.names[i])));
    return OK;
}

err_t source_each_collection(struct source *s, const char *namespace_name,
                             err_t (*fn)(void *arg, const char *namespace_name,
                                         struct slice collection),
                             void *arg)
{
    CLEANUP(name_list_free) struct name_list names = {0};
    if (namespace_name != NULL)
        return each_of_namespace(s, namespace_name, fn, arg);
    TRY(read_namespaces(s, &names));
    for (size_t i = 0; i < names.count; i++)
        TRY(each_of_namespace(s, names.names[i], fn, arg));
    return OK;
}
