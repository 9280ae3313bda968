#include "cli/recovery.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cli/remote.h"
#include "server/lockfile.h"
#include "snapshot/ask.h"

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

char *place_url(const struct place *p, const char *what, const char *last)
{
    struct buf out = BUF_INIT;
    buf_printf(&out, "/%s/", what);
    append_encoded(&out, slice_of(p->namespace_name));
    buf_append_char(&out, '/');
    append_encoded(&out, p->collection);
    if (last != NULL) {
        buf_append_char(&out, '/');
        append_encoded(&out, slice_of(last));
    }
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

bool recovery_target(const struct cli_args *args, const char *text, struct target *ret)
{
    static const char *const names[] = {"at", "lsn", "bookmark", "snapshot"};
    *ret = (struct target){.kind = TARGET_LATEST};
    if (strcmp(text, "latest") == 0)
        return true;
    const char *name = "at", *value = text;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t len = strlen(names[i]);
        if (strncmp(text, names[i], len) == 0 && text[len] == ':') {
            name = names[i];
            value = text + len + 1;
        }
    }
    if (target_read(name, slice_of(value), ret) == OK)
        return true;
    options_mistake(args->command,
                    "\"%s\" is not a target: a time with a zone, lsn:N, bookmark:B, "
                    "snapshot:NAME or latest",
                    text);
    return false;
}

/* Breaking off -------------------------------------------------------------------------------- */

static atomic_bool interrupted;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&interrupted, true);
}

void recovery_leave_nothing(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART | SA_RESETHAND};
    struct sigaction old;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &action, NULL);
}

/* Where it is --------------------------------------------------------------------------------- */

/** The settings of the data directory, for which the same sources count as for the server. */
static int read_settings(const struct cli_args *args, struct recovery *r)
{
    const char *data = options_value(args, "data");
    const char *file = options_value(args, "config");
    if (options_has(args, "store") && data == NULL && file == NULL)
        return EXIT_OK;
    const struct config_flag flag = {"data.dir", data, "--data"};
    const struct config_sources sources = {.file = file,
                                           .env = (const char *const *)(void *)environ,
                                           .flags = &flag,
                                           .flag_count = data != NULL,
                                           .only_look = true};
    err_t err = config_load(&sources, &r->config);
    if (err != OK)
        return recovery_failed(args, err);
    r->data_dir = r->config.data_dir;
    return EXIT_OK;
}

static int open_source(const struct cli_args *args, bool writable, struct recovery *r)
{
    const char *store = options_value(args, "store");
    if (store == NULL && r->data_dir != NULL && *r->config.store_url != '\0')
        store = r->config.store_url;
    const struct source_options o = {.io = io_posix(),
                                     .clock = clock_real(),
                                     .data_dir = r->data_dir,
                                     .store_url = store,
                                     .stop = &interrupted,
                                     .writable = writable};
    err_t err = source_open(&o, &r->source);
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

int recovery_open(const struct cli_args *args, struct recovery *ret)
{
    int rc = read_settings(args, ret);
    return rc == EXIT_OK ? open_source(args, false, ret) : rc;
}

/** Another process has the data directory; nothing was printed. */
#define SERVED (-2)

static int take_lock(const struct cli_args *args, struct recovery *r)
{
    CLEANUP(xfree_ptr) char *log_dir = xasprintf("%s/log", r->data_dir);
    if (!io_exists(io_posix(), log_dir)) /* the lock would make the directory */
        return EXIT_OK;
    err_t err = lockfile_take(r->data_dir, &r->lock);
    if (err == ERR_LOCKED)
        return SERVED;
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

/** For writing to the store, with the data directory's lock held. */
static int open_writable(const struct cli_args *args, struct recovery *ret)
{
    int rc = read_settings(args, ret);
    if (rc == EXIT_OK && ret->data_dir != NULL)
        rc = take_lock(args, ret);
    return rc == EXIT_OK ? open_source(args, true, ret) : rc;
}

void recovery_close(struct recovery *r)
{
    source_close(r->source);
    config_release(&r->config);
    if (r->lock >= 0)
        close(r->lock);
    *r = RECOVERY_INIT;
}

/* Work ---------------------------------------------------------------------------------------- */

static int ask_server(const struct cli_args *args, const struct recovery_work *w,
                      const char *address)
{
    json_t *reply;
    int rc = remote_ask(args, address, w->method, w->path, w->body, &reply);
    if (rc != EXIT_OK)
        return rc;
    w->print(args, reply);
    json_decref(reply);
    return EXIT_OK;
}

/** The data directory is taken: by a server that can be asked, or by another command. */
static int ask_holder(const struct cli_args *args, const struct recovery_work *w,
                      const char *data_dir)
{
    CLEANUP(xfree_ptr) char *address = lockfile_http_address(data_dir);
    if (address != NULL)
        return ask_server(args, w, address);
    return recovery_failed(args, err_fail(ERR_LOCKED,
                                          "the data directory %s is in use by a process that "
                                          "takes no HTTP requests: try again when it has ended",
                                          data_dir));
}

int recovery_do(const struct cli_args *args, const struct recovery_work *w, void *arg)
{
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    if (options_has(args, "server"))
        return ask_server(args, w, NULL);
    int rc = open_writable(args, &r);
    if (rc == SERVED)
        return ask_holder(args, w, r.data_dir);
    if (rc != EXIT_OK)
        return rc;
    recovery_leave_nothing();
    err_t err = w->here(args, &r, arg);
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

int recovery_failed(const struct cli_args *args, err_t err)
{
    bool broken_off = err == ERR_UNAVAILABLE && atomic_load(&interrupted);
    fflush(stdout);
    fprintf(stderr, "spillway %s: %s\n", args->command->name,
            broken_off ? "interrupted; what was half made is removed" : err_text(err));
    return err == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* What it looks like -------------------------------------------------------------------------- */

void recovery_append_shown(struct buf *out, struct slice name)
{
    CLEANUP(buf_release) struct buf quoted = BUF_INIT;
    buf_append_json(&quoted, name.data, name.len);
    buf_append(out, quoted.data + 1, quoted.len - 2);
}

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
