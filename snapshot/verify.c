/*
 * snapshot/verify.c: reads every file of a collection as a restore would, whole: bytes against the
 * manifest's hash, pages, order, ranges, row counts, and for documents the state hash.
 *
 * It takes no turn, since the jobs that replace files may run in another process, the server. A
 * file that cannot be read and that its manifest no longer names was replaced, not damaged; then
 * what the new manifest names instead is read.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/state.h"
#include "snapshot/snapshot.h"
#include "snapshot/source.h"

#define ROUNDS 5 /* of compaction behind our back */

struct verifier {
    struct store *store;
    const char *namespace_name;
    struct slice collection;
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

/* Snapshots ----------------------------------------------------------------------------------- */

static err_t read_list(const struct verifier *v, struct snapshot_list *ret)
{
    return snapshot_list_read(v->store, v->namespace_name, v->collection, ret);
}

static bool is_still_listed(const struct verifier *v, const struct snapshot *s)
{
    CLEANUP(snapshot_list_free) struct snapshot_list now = {0};
    return read_list(v, &now) != OK || snapshot_find(&now, slice_of(s->name)) != NULL;
}

static void verify_snapshot(struct verifier *v, const struct snapshot *s)
{
    err_t err = read_docs(v, &s->file);
    CLEANUP(xfree_ptr) char *text = xstrdup(err == OK ? "" : err_text(err));
    if (err == OK || is_still_listed(v, s))
        tell(v, s->file.path, err == OK ? OK : err_fail(err, "%s", text));
}

static void verify_snapshots(struct verifier *v, const struct snapshot_list *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (name == NULL || strcmp(l->items[i].name, name) == 0)
            verify_snapshot(v, &l->items[i]);
}

/* The chain ----------------------------------------------------------------------------------- */

static err_t read_manifest(const struct verifier *v, struct collection_manifest *ret)
{
    return collection_manifest_read(v->store, v->namespace_name, v->collection, ret);
}

static bool chain_names(const struct collection_manifest *m, const struct store_file *f)
{
    const struct store_file *other;
    for (size_t i = 0; (other = chain_file(m, i)) != NULL; i++)
        if (strcmp(other->path, f->path) == 0 && strcmp(other->hash, f->hash) == 0)
            return true;
    return false;
}

static bool is_still_named(const struct verifier *v, const struct store_file *f)
{
    CLEANUP(collection_manifest_free) struct collection_manifest now = {0};
    return read_manifest(v, &now) != OK || chain_names(&now, f);
}

/** Files that `told` names are known. False: some were replaced. */
static bool verify_files(struct verifier *v, const struct collection_manifest *m,
                         const struct collection_manifest *told)
{
    bool all = true;
    const struct store_file *f;
    for (size_t i = 0; (f = chain_file(m, i)) != NULL; i++) {
        if (chain_names(told, f))
            continue;
        err_t err = i < m->delta_count ? read_changes(v, f) : read_docs(v, f);
        CLEANUP(xfree_ptr) char *text = xstrdup(err == OK ? "" : err_text(err));
        if (err == OK || is_still_named(v, f))
            tell(v, f->path, err == OK ? OK : err_fail(err, "%s", text));
        else
            all = false;
    }
    return all;
}

/** Takes over `m`. */
static void verify_chain(struct verifier *v, struct collection_manifest *m)
{
    CLEANUP(collection_manifest_free) struct collection_manifest told = {0};
    CLEANUP(collection_manifest_free) struct collection_manifest now = *m;
    for (int round = 1; !verify_files(v, &now, &told); round++) {
        struct collection_manifest next;
        err_t err = round < ROUNDS
                        ? read_manifest(v, &next)
                        : err_fail(ERR_UNAVAILABLE, "files are replaced faster than they are read");
        if (err != OK) {
            tell(v, "manifest.json", err);
            return;
        }
        collection_manifest_free(&told);
        told = now;
        now = next;
    }
}

/* All ----------------------------------------------------------------------------------------- */

/** The namespace's manifest says how far the chain reaches: without it no answer is safe. */
static void verify_namespace(struct verifier *v)
{
    CLEANUP(xfree_ptr) char *dir = store_component(slice_of(v->namespace_name));
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/manifest.json", dir);
    struct namespace_manifest ns;
    err_t err = namespace_manifest_read(v->store, v->namespace_name, &ns);
    if (err == OK)
        namespace_manifest_free(&ns);
    tell_path(v, path, err);
}

static bool has_files(const struct verifier *v)
{
    struct namespace_manifest ns;
    if (namespace_manifest_read(v->store, v->namespace_name, &ns) != OK)
        return false;
    bool listed = namespace_lists(&ns, v->collection);
    namespace_manifest_free(&ns);
    return listed;
}

static err_t verify(struct verifier *v, const char *name)
{
    CLEANUP(snapshot_list_free) struct snapshot_list list = {0};
    err_t listed = read_list(v, &list);
    if (listed != OK)
        tell(v, "snapshots/manifest.json", listed);
    if (listed == OK && name != NULL && snapshot_find(&list, slice_of(name)) == NULL)
        return no_snapshot(v->namespace_name, v->collection, slice_of(name));
    verify_snapshots(v, &list, name);
    if (name != NULL)
        return OK;
    struct collection_manifest m;
    err_t err = read_manifest(v, &m);
    if (err == ERR_NOT_FOUND && (list.count > 0 || has_files(v)))
        err = manifest_missing(v->namespace_name, v->collection);
    if (err == ERR_NOT_FOUND && listed == OK)
        return err_fail(ERR_NOT_FOUND, "the store has nothing of %s/%.*s", v->namespace_name,
                        (int)MIN(v->collection.len, 200), v->collection.data);
    tell(v, "manifest.json", err);
    verify_namespace(v);
    if (err == OK)
        verify_chain(v, &m);
    return OK;
}

err_t snapshot_verify(struct store *s, const char *namespace_name, struct slice collection,
                      const char *name,
                      void (*fn)(void *arg, const char *path, err_t err, const char *text),
                      void *arg)
{
    CLEANUP(verifier_release)
    struct verifier v = {.store = s,
                         .namespace_name = namespace_name,
                         .collection = collection,
                         .dir = collection_dir(namespace_name, collection),
                         .fn = fn,
                         .arg = arg};
    TRY(verify(&v, name));
    return v.first == OK ? OK : err_fail(v.first, "%s", v.text);
}
