/*
 * snapshot/verify.c: reads every file of a collection as a restore would, whole: bytes against the
 * manifest's hash, pages, order, ranges, row counts, and for documents the state hash.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/state.h"
#include "snapshot/snapshot.h"

struct verifier {
    struct store *store;
    char *dir;
    void (*fn)(void *arg, const char *path, err_t err, const char *text);
    void *arg;
    err_t first; /* the first error, with its sentence kept */
    char *text;
};

static void verifier_release(struct verifier *v)
{
    free(v->dir);
    free(v->text);
}

static void tell_path(struct verifier *v, const char *path, err_t err)
{
    CLEANUP(xfree_ptr) char *text = xstrdup(err == OK ? "" : err_text(err));
    if (v->fn != NULL)
        v->fn(v->arg, path, err, text);
    if (err != OK && v->first == OK) {
        v->first = err;
        v->text = TAKE(text);
    }
}

static void tell(struct verifier *v, const char *relative, err_t err)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", v->dir, relative);
    tell_path(v, path, err);
}

static err_t read_docs(struct verifier *v, const struct store_file *f)
{
    struct docs_reader *r;
    struct state_doc doc;
    err_t err;
    TRY(docs_open(v->store, v->dir, f, NULL, &r));
    do
        err = docs_next(r, &doc);
    while (err == OK);
    docs_close(r);
    return err == ERR_END ? OK : err;
}

static err_t read_changes(struct verifier *v, const struct store_file *f)
{
    struct delta_reader *r;
    struct change c;
    err_t err;
    TRY(delta_open(v->store, v->dir, f, NULL, &r));
    do
        err = delta_next(r, &c);
    while (err == OK);
    delta_close(r);
    return err == ERR_END ? OK : err;
}

static void verify_snapshots(struct verifier *v, const struct snapshot_list *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (name == NULL || strcmp(l->items[i].name, name) == 0)
            tell(v, l->items[i].file.path, read_docs(v, &l->items[i].file));
}

static void verify_chain(struct verifier *v, const struct collection_manifest *m)
{
    for (size_t i = 0; i < m->delta_count; i++)
        tell(v, m->deltas[i].path, read_changes(v, &m->deltas[i]));
    if (m->has_data)
        tell(v, m->data.path, read_docs(v, &m->data));
}

/** The namespace's manifest says how far the chain reaches: without it no answer is safe. */
static void verify_namespace(struct verifier *v, const char *namespace_name)
{
    CLEANUP(xfree_ptr) char *dir = store_component(slice_of(namespace_name));
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/manifest.json", dir);
    struct namespace_manifest ns;
    err_t err = namespace_manifest_read(v->store, namespace_name, &ns);
    if (err == OK)
        namespace_manifest_free(&ns);
    tell_path(v, path, err);
}

static err_t verify(struct verifier *v, const char *namespace_name, struct slice collection,
                    const char *name)
{
    CLEANUP(snapshot_list_free) struct snapshot_list list = {0};
    err_t listed = snapshot_list_read(v->store, namespace_name, collection, &list);
    if (listed != OK)
        tell(v, "snapshots/manifest.json", listed);
    if (listed == OK && name != NULL && snapshot_find(&list, name) == NULL)
        return err_fail(ERR_NOT_FOUND, "%s/%.*s has no snapshot \"%.100s\"", namespace_name,
                        (int)MIN(collection.len, 200), collection.data, name);
    verify_snapshots(v, &list, name);
    if (name != NULL)
        return OK;
    struct collection_manifest m;
    err_t err = collection_manifest_read(v->store, namespace_name, collection, &m);
    if (err == ERR_NOT_FOUND && list.count == 0 && listed == OK)
        return err_fail(ERR_NOT_FOUND, "the store has nothing of %s/%.*s", namespace_name,
                        (int)MIN(collection.len, 200), collection.data);
    tell(v, "manifest.json", err);
    verify_namespace(v, namespace_name);
    if (err == OK) {
        verify_chain(v, &m);
        collection_manifest_free(&m);
    }
    return OK;
}

/* Under the job's turn: so that no merge takes a file away between its manifest and its reading. */
err_t snapshot_verify(struct store *s, const char *namespace_name, struct slice collection,
                      const char *name,
                      void (*fn)(void *arg, const char *path, err_t err, const char *text),
                      void *arg)
{
    CLEANUP(verifier_release) struct verifier v = {.store = s, .fn = fn, .arg = arg};
    v.dir = collection_dir(namespace_name, collection);
    store_job_lock(s, namespace_name);
    err_t err = verify(&v, namespace_name, collection, name);
    store_job_unlock(s, namespace_name);
    TRY(err);
    return v.first == OK ? OK : err_fail(v.first, "%s", v.text);
}
