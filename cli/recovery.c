#include "cli/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/timefmt.h"
#include "server/lockfile.h"
#include "snapshot/lines.h"

#define DEFAULT_DATA "./data"

/* What is meant ------------------------------------------------------------------------------- */

int place_parse(const struct cli_args *args, size_t positional, struct place *ret)
{
    if (positional >= args->positional_count)
        return options_mistake(args->command, "NS/COLLECTION is missing");
    const char *text = args->positional[positional];
    const char *slash = strchr(text, '/');
    if (slash == NULL || slash == text || slash[1] == '\0')
        return options_mistake(args->command, "\"%s\" is not NS/COLLECTION", text);
    ret->namespace_name = xstrndup(text, (size_t)(slash - text));
    ret->collection = slice_of(slash + 1);
    return EXIT_OK;
}

void place_release(struct place *p)
{
    free(p->namespace_name);
    *p = (struct place){0};
}

static void append_encoded(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '~';
        if (plain)
            buf_append_char(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

char *place_url(const struct place *p, const char *what)
{
    struct buf out = BUF_INIT;
    buf_printf(&out, "/%s/", what);
    append_encoded(&out, slice_of(p->namespace_name));
    buf_append_char(&out, '/');
    append_encoded(&out, p->collection);
    buf_append_char(&out, '\0');
    return out.data;
}

bool recovery_time(const struct cli_args *args, const char *option, int64_t *value)
{
    const char *text = options_value(args, option);
    if (text == NULL || timefmt_parse(text, strlen(text), value))
        return true;
    options_mistake(args->command,
                    "--%s: \"%s\" is not an RFC 3339 time with a zone, such as "
                    "2026-02-02T14:30:00Z or 2026-02-02T15:30:00+01:00",
                    option, text);
    return false;
}

static bool parse_lsn(const char *text, int64_t *ret)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 0)
        return false;
    *ret = value;
    return true;
}

bool recovery_target(const char *text, struct target *ret)
{
    *ret = (struct target){.kind = TARGET_LATEST};
    if (strcmp(text, "latest") == 0)
        return true;
    if (strncmp(text, "lsn:", 4) == 0) {
        ret->kind = TARGET_LSN;
        return parse_lsn(text + 4, &ret->value);
    }
    if (strncmp(text, "bookmark:", 9) == 0 || strncmp(text, "snapshot:", 9) == 0) {
        ret->kind = text[0] == 'b' ? TARGET_BOOKMARK : TARGET_SNAPSHOT;
        ret->name = text[9] != '\0' ? xstrdup(text + 9) : NULL;
        return ret->name != NULL;
    }
    ret->kind = TARGET_AT;
    return timefmt_parse(text, strlen(text), &ret->value);
}

/* Where it is --------------------------------------------------------------------------------- */

static const char *data_dir_of(const struct cli_args *args)
{
    const char *dir = options_value(args, "data");
    if (dir == NULL && options_has(args, "store"))
        return NULL;
    if (dir == NULL)
        dir = getenv("SPILLWAY_DATA");
    return dir != NULL && *dir != '\0' ? dir : DEFAULT_DATA;
}

static int open_source(const struct cli_args *args, bool writable, struct source **ret_source)
{
    const struct source_options o = {.io = io_posix(),
                                     .clock = clock_real(),
                                     .data_dir = data_dir_of(args),
                                     .store_url = options_value(args, "store"),
                                     .writable = writable};
    err_t err = source_open(&o, ret_source);
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

int recovery_open(const struct cli_args *args, struct source **ret_source)
{
    return open_source(args, false, ret_source);
}

int recovery_open_writable(const struct cli_args *args, struct source **ret_source, int *ret_lock)
{
    const char *dir = data_dir_of(args);
    *ret_lock = -1;
    if (dir != NULL) {
        CLEANUP(xfree_ptr) char *log_dir = xasprintf("%s/log", dir);
        if (!io_exists(io_posix(), log_dir)) /* the lock would make the directory */
            return open_source(args, true, ret_source);
        err_t err = lockfile_take(dir, ret_lock);
        if (err == ERR_LOCKED)
            return RECOVERY_SERVED;
        if (err != OK)
            return recovery_failed(args, err);
    }
    int rc = open_source(args, true, ret_source);
    if (rc != EXIT_OK && *ret_lock >= 0)
        close(*ret_lock);
    return rc;
}

int recovery_failed(const struct cli_args *args, err_t err)
{
    fflush(stdout);
    fprintf(stderr, "spillway %s: %s\n", args->command->name, err_text(err));
    return err == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* What it looks like -------------------------------------------------------------------------- */

void recovery_plan_text(struct buf *out, const struct rebuild_plan *plan)
{
    buf_printf(out, "snapshot  %s\n",
               plan->snapshot.path != NULL ? plan->snapshot.path
                                           : "none: from the empty collection");
    for (size_t i = 0; i < plan->delta_count; i++)
        buf_printf(out, "delta     %s  LSN %" PRId64 " to %" PRId64 "\n", plan->deltas[i].path,
                   plan->deltas[i].lsn_from, plan->deltas[i].lsn_to - 1);
    if (plan->log_from < plan->log_to)
        buf_printf(out, "log       LSN %" PRId64 " to %" PRId64 "\n", plan->log_from,
                   plan->log_to - 1);
}

void recovery_change_text(struct buf *out, const struct change *c)
{
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(c->ts_us, ts);
    buf_printf(out, "%10" PRId64 "  %-27s  %s%s  ", c->lsn, ts, change_op_name(c->op),
               c->skipped                ? " (skipped)"
               : c->restore.data != NULL ? " (restore)"
                                         : "");
    buf_append_json(out, c->doc_id.data, c->doc_id.len);
    if (c->doc.data != NULL) {
        buf_append_str(out, "  ");
        json_append_single_line(out, c->doc.data, c->doc.len);
    }
    if (c->bookmark.data != NULL) {
        buf_append_str(out, "  bookmark ");
        buf_append_json(out, c->bookmark.data, c->bookmark.len);
    }
    buf_append_char(out, '\n');
}
