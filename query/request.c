/*
 * What was asked: who may, the parts of the path, the parameters.
 */
#include <string.h>

#include "base/limits.h"
#include "query/op.h"
#include "snapshot/ask.h"

static err_t read_namespace(struct query_op *op, const struct http_request *r, bool is_admin)
{
    const struct tenant *tenant = op->tenant;
    struct slice ns;
    TRY(http_request_path_part(r, &op->arena, 1, &ns));
    if (!access_namespace_valid(ns))
        return err_fail(ERR_INVALID_NAMESPACE,
                        "Invalid namespace: it has 1 to 64 of a-z, 0-9, '_' and '-'");
    if (!is_admin && !slice_equal(ns, tenant->namespace_name))
        return err_fail(ERR_FORBIDDEN, "this key is for the namespace \"%.*s\" only",
                        (int)tenant->namespace_name.len, tenant->namespace_name.data);
    memcpy(op->namespace_name, ns.data, ns.len + 1);
    return OK;
}

static unsigned count_parts(struct slice path)
{
    unsigned count = 0;
    for (size_t i = 0; i < path.len; i++)
        count += path.data[i] == '/';
    return count;
}

/** Whether a list like "at, lsn" has the name. */
static bool is_listed(const char *list, struct slice name)
{
    size_t len;
    for (const char *at = list; *at != '\0'; at += len + strspn(at + len, ", ")) {
        len = strcspn(at, ",");
        if (slice_equal((struct slice){at, len}, name))
            return true;
    }
    return false;
}

/** One that is misspelt would otherwise be answered as if it were not there: with today's state in
 * the place of yesterday's, or with changes in the place of a dry run. */
static err_t check_parameters(struct query_op *op, const struct http_request *r)
{
    const char *list = op->kind->parameters;
    struct slice name, again, value;
    for (size_t at = 0; http_request_query_next(r, &op->arena, &at, &name, &value);) {
        int shown = (int)MIN(name.len, 64);
        if (list == NULL)
            return err_fail(ERR_VALIDATION, "\"%.*s\": this request takes no parameters", shown,
                            name.data);
        if (!is_listed(list, name))
            return err_fail(ERR_VALIDATION, "\"%.*s\" is no parameter of this request: %s", shown,
                            name.data, list);
        for (size_t next = at; http_request_query_next(r, &op->arena, &next, &again, &value);)
            if (slice_equal(again, name))
                return err_fail(ERR_VALIDATION, "\"%.*s\" is given twice", shown, name.data);
    }
    return OK;
}

err_t request_read(struct query_op *op, const struct http_request *r)
{
    struct slice token = http_request_header(r, "Authorization", NULL);
    TRY(access_check(op->q->options.access, token, &op->tenant));
    const struct tenant *tenant = op->tenant;
    bool is_admin = tenant->is_admin || op->q->options.open_to_all;
    if (op->kind->admin_only && !is_admin)
        return err_fail(ERR_FORBIDDEN, "Admin access required");
    TRY(check_parameters(op, r));
    unsigned parts = count_parts(r->path);
    if (op->kind->of_all) { /* a route without a namespace: the key's own, or "" for all */
        if (!is_admin)
            memcpy(op->namespace_name, tenant->namespace_name.data, tenant->namespace_name.len + 1);
        return OK;
    }
    TRY(read_namespace(op, r, is_admin));
    if (parts > 2)
        TRY(http_request_path_part(r, &op->arena, 2, &op->collection));
    if (op->collection.len > LIMIT_COLLECTION_BYTES)
        return err_fail(ERR_VALIDATION, "the name of a collection has at most %d bytes",
                        LIMIT_COLLECTION_BYTES);
    if (op->collection.len > 0 && memchr(op->collection.data, '\0', op->collection.len) != NULL)
        return err_fail(ERR_VALIDATION, "the name of a collection holds no NUL");
    if (parts > 3)
        TRY(http_request_path_part(r, &op->arena, 3, &op->item));
    if (op->item.len > LIMIT_DOC_ID_BYTES)
        return err_fail(ERR_VALIDATION, "the id of a document has at most %d bytes",
                        LIMIT_DOC_ID_BYTES);
    return OK;
}

err_t request_number(struct query_op *op, const struct http_request *r, const char *name,
                     int64_t max, int64_t fallback, int64_t *ret)
{
    struct slice text = http_request_query(r, &op->arena, name);
    if (text.data != NULL)
        return ask_number(name, text, max, ret);
    *ret = fallback;
    return OK;
}

static err_t read_flag(struct query_op *op, const struct http_request *r, const char *name,
                       bool *ret)
{
    struct slice text = http_request_query(r, &op->arena, name);
    *ret = text.data != NULL &&
           (text.len == 0 || slice_equal(text, SLICE("1")) || slice_equal(text, SLICE("true")));
    if (text.data == NULL || *ret || slice_equal(text, SLICE("0")) ||
        slice_equal(text, SLICE("false")))
        return OK;
    return err_fail(ERR_VALIDATION, "\"%s\" must be true or false, not \"%.*s\"", name,
                    (int)MIN(text.len, 64), text.data);
}

err_t request_target(struct query_op *op, const struct http_request *r)
{
    static const char *const names[] = {"at", "lsn", "bookmark", "snapshot"};
    static const char one_target[] = "give one of at, lsn, bookmark, snapshot and latest";
    bool latest;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct slice text = http_request_query(r, &op->arena, names[i]);
        if (text.data == NULL)
            continue;
        if (op->has_target)
            return err_fail(ERR_VALIDATION, "%s", one_target);
        op->has_target = true;
        TRY(target_read(names[i], text, &op->target));
    }
    TRY(read_flag(op, r, "latest", &latest));
    if (latest && op->has_target)
        return err_fail(ERR_VALIDATION, "%s", one_target);
    TRY(read_flag(op, r, "exclusive", &op->target.exclusive));
    bool bare = !op->has_target || op->target.kind == TARGET_SNAPSHOT;
    if (op->target.exclusive && bare)
        return err_fail(ERR_VALIDATION, "\"exclusive\" goes with at, lsn or bookmark");
    return OK;
}
