#include "tests/sim/negative.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/catalog_chain.h"
#include "tests/sim/chain.h"
#include "tests/sim/recovery.h"

#define SITES_MAX 64
#define TRACED_MAX 512
#define IDS_MAX 32
#define SEEDS_MAX 50 /* histories that reach a site */

/* Sites whose loss costs time or is covered by another sync, and never data. */
struct excuse {
    const char *function; /* the innermost outside of base/ */
    bool is_dir;
    const char *reason;
};
static const struct excuse harmless[] = {
    {"segment_index_write", false, "an index is checked against the log and rebuilt"},
    {"segment_index_write", true, "an index is checked against the log and rebuilt"},
    {"statefile_write", false, "a bad checkpoint is passed over, the log is replayed instead"},
    {"statefile_write", true, "a missing checkpoint: the log is replayed instead"},
    {"recovery_point_create", false, "an old or missing point costs a longer scan"},
    {"shard_sync_recovery_point", false, "an old or missing point costs a longer scan"},
    {"write_stretch", false, "zeros are for speed; a group's own sync covers them"},
    {"place_file", false, "the file is empty; only its entry counts"},
    {"shard_create_files", false, "the file is empty; only its entry counts"},
    {"open_in", true, "the shard's name was safe when its stream was created"},
    {"move_on", false, "the file is empty; only its entry counts"},
    {"keep_cut", true, "evidence, not data; recovery syncs the directory again"},
    {"shard_create_files", true, "opening the shard syncs its directory before the first append"},
    {"settle_files", true, "SQLite's first steps beside a new journal sync the directory again"},
    {"vfs_delete", true,
     "a journal that comes back says what the database says; the next syncs it"},
    {"start", true, "the test's own"},
    {"settle_tail", false, "recovery would cut the same bytes again"},
    {"shard_close", false, "only zeros come back; the next start cuts them again"},
};
/* And in histories of recovery, where what SQLite keeps is derived. */
static const struct excuse harmless_to_state[] = {
    {"vfs_settle", true, "what a state loses is applied again"},
    {"settle_file", false, "what a state loses is applied again"},
    {"state_open", true, "a lost state is made again"},
    {"state_remove", true, "the first sync beside the new file covers it"},
};

/** A kind of histories, and of which sites it is the control. */
struct kind {
    void (*run)(uint64_t seed, uint64_t salt, struct chain_result *result);
    uint64_t traced;              /* histories that look for sites */
    uint64_t crashes_max;         /* until the control gives up */
    uint64_t excused_max;         /* for sites that need not be caught: to see that they are not */
    const char *files;            /* where its sites are; NULL: anywhere */
    const struct excuse *excuses; /* besides `harmless` */
    size_t excuse_count;
};
static const struct kind kinds[] = {
    {chain_random, 4000, 150000, 2000, NULL, NULL, 0},
    {catalog_chain_random, 500, 150000, 2000, NULL, NULL, 0},
    {rec_chain_random, 150, 6000, 100,
     " store.c state.c vfs.c restore.c sink_ndjson.c sink_parquet.c sink_sqlite.c ",
     harmless_to_state, ARRAY_LEN(harmless_to_state)},
};

struct verdict {
    bool caught;
    bool died; /* an assertion of the product, which is being caught too */
    uint64_t crashes;
    char failure[512];
};

/** One line of the product; the simulation may know it by several call chains. */
struct site {
    char name[128]; /* "function file:line" */
    const struct kind *kind;
    const char *reason; /* NULL: must be caught */
    bool is_dir;
    uint64_t hits;
    uint64_t ids[IDS_MAX];
    size_t id_count;
    uint64_t seeds[SEEDS_MAX];
    size_t seed_count;
    int fd;
    pid_t pid;
    struct verdict verdict;
};

/** Names the code at a return address. */
static void name_frame(const void *address, char *out, size_t cap)
{
    Dl_info info = {0};
    (void)snprintf(out, cap, "?");
    if (address == NULL || dladdr(address, &info) == 0)
        return;
    char command[256];
    (void)snprintf(command, sizeof(command), "addr2line -sfe /proc/%d/exe 0x%lx", (int)getpid(),
                   (unsigned long)((uintptr_t)address - (uintptr_t)info.dli_fbase - 1));
    FILE *pipe = popen(command, "r");
    if (pipe == NULL)
        return;
    char function[64] = "?";
    char line[64] = "";
    if (fgets(function, sizeof(function), pipe) != NULL &&
        fgets(line, sizeof(line), pipe) != NULL) {
        function[strcspn(function, "\n.")] = '\0';
        line[strcspn(line, "\n ")] = '\0';
        (void)snprintf(out, cap, "%s %s", function, line);
    }
    (void)pclose(pipe);
}

/** The innermost frame that is not in base/. */
static void name_site(const struct simdisk_site *s, char *out, size_t cap)
{
    for (size_t i = 0; i < SIMDISK_SITE_FRAMES; i++) {
        name_frame(s->frames[i], out, cap);
        if (strstr(out, " io.c:") == NULL)
            return;
    }
}

static const char *find_excuse(const struct excuse *list, size_t count, const char *name,
                               bool is_dir)
{
    size_t len = strcspn(name, " ");
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i].function) == len && strncmp(name, list[i].function, len) == 0 &&
            list[i].is_dir == is_dir)
            return list[i].reason;
    return NULL;
}

static const char *excuse(const struct kind *kind, const char *name, bool is_dir)
{
    const char *reason = find_excuse(harmless, ARRAY_LEN(harmless), name, is_dir);
    if (reason == NULL)
        reason = find_excuse(kind->excuses, kind->excuse_count, name, is_dir);
    return reason;
}

/** Whether a site ("function file:line") lies where this kind answers for it. */
static bool counts_for(const struct kind *kind, const char *name)
{
    char file[64];
    const char *at = strchr(name, ' ');
    if (kind->files == NULL)
        return true;
    if (at == NULL)
        return false;
    (void)snprintf(file, sizeof(file), "%.*s ", (int)strcspn(at, ":"), at);
    return strstr(kind->files, file) != NULL;
}

static struct site *site_named(struct site *sites, size_t *count, const struct kind *kind,
                               const char *name, bool is_dir)
{
    for (size_t i = 0; i < *count; i++)
        if (sites[i].kind == kind && strcmp(sites[i].name, name) == 0 && sites[i].is_dir == is_dir)
            return &sites[i];
    ASSERT(*count < SITES_MAX);
    struct site *s = &sites[(*count)++];
    (void)snprintf(s->name, sizeof(s->name), "%s", name);
    s->kind = kind;
    s->is_dir = is_dir;
    s->reason = excuse(kind, name, is_dir);
    return s;
}

/** The product's line of traced site `i`, with this call chain noted; NULL: it does not count. */
static struct site *site_of(struct site *sites, size_t *count, const struct kind *kind, size_t i)
{
    static struct site *known[ARRAY_LEN(kinds)][TRACED_MAX];
    static bool looked_up[ARRAY_LEN(kinds)][TRACED_MAX];
    size_t k = (size_t)(kind - kinds);
    ASSERT(i < TRACED_MAX);
    if (!looked_up[k][i]) {
        char name[128] = "?";
        const struct simdisk_site *found = simdisk_site_at(i);
        looked_up[k][i] = true;
        name_site(found, name, sizeof(name));
        if (!counts_for(kind, name))
            return NULL;
        struct site *s = site_named(sites, count, kind, name, found->is_dir);
        ASSERT(s->id_count < IDS_MAX);
        s->ids[s->id_count++] = found->id;
        known[k][i] = s;
    }
    return known[k][i];
}

/** Notes the sites that a history has reached. */
static void note_reached(struct site *sites, size_t *count, const struct kind *kind, uint64_t seed)
{
    static uint64_t hits[TRACED_MAX];
    for (size_t i = 0; i < simdisk_site_count(); i++) {
        uint64_t now = simdisk_site_at(i)->hits;
        struct site *s = now != hits[i] ? site_of(sites, count, kind, i) : NULL;
        if (s != NULL) {
            if (s->seed_count < SEEDS_MAX &&
                (s->seed_count == 0 || s->seeds[s->seed_count - 1] != seed))
                s->seeds[s->seed_count++] = seed;
            s->hits += now - hits[i];
        }
        hits[i] = now;
    }
}

static size_t collect(uint64_t seed, struct site *sites)
{
    simdisk_trace_sites(true);
    struct chain_result r = {0};
    size_t count = 0;
    for (const struct kind *kind = kinds; kind < kinds + ARRAY_LEN(kinds); kind++) {
        for (uint64_t i = 0; i < kind->traced && !r.failed; i++) {
            kind->run(seed + i, 0, &r);
            note_reached(sites, &count, kind, seed + i);
        }
    }
    if (r.failed)
        printf("negative control: already without it: %s\n", r.failure);
    return r.failed ? 0 : count;
}

static struct verdict hunt(const struct site *s)
{
    struct chain_result r = {0};
    uint64_t bound = s->reason == NULL ? s->kind->crashes_max : s->kind->excused_max;
    /* A site that many histories reach is met by any; of a rare one those that do are varied. */
    bool rare = s->seed_count < SEEDS_MAX;
    for (uint64_t i = 0; !r.failed && r.crashes < bound; i++) {
        static const unsigned crash_percent[] = {5, 0, 50};
        simdisk_swallow_sites(s->ids, s->id_count, crash_percent[i % 3]);
        s->kind->run(rare ? s->seeds[i % s->seed_count] : s->seeds[0] + i,
                     rare ? i / s->seed_count : 0, &r);
    }
    struct verdict v = {.caught = r.failed, .crashes = r.crashes};
    memcpy(v.failure, r.failure, sizeof(v.failure));
    return v;
}

static void start(struct site *s)
{
    int fds[2];
    if (pipe(fds) != 0) {
        perror("pipe");
        exit(1);
    }
    (void)fflush(stdout);
    s->pid = fork();
    if (s->pid == 0) {
        (void)freopen("/dev/null", "w", stderr);
        struct verdict v = hunt(s);
        ssize_t n = write(fds[1], &v, sizeof(v));
        _exit(n == (ssize_t)sizeof(v) ? 0 : 1);
    }
    close(fds[1]);
    s->fd = fds[0];
}

static void collect_verdict(struct site *s)
{
    if (read(s->fd, &s->verdict, sizeof(s->verdict)) != (ssize_t)sizeof(s->verdict))
        s->verdict = (struct verdict){.caught = true, .died = true};
    close(s->fd);
    (void)waitpid(s->pid, NULL, 0);
}

static bool print_site(const struct site *s)
{
    char result[700];
    const struct verdict *v = &s->verdict;
    bool ok = v->caught || s->reason != NULL;
    if (v->died)
        (void)snprintf(result, sizeof(result), "caught by an assertion");
    else if (v->caught)
        (void)snprintf(result, sizeof(result), "caught after %llu crashes: %.80s",
                       (unsigned long long)v->crashes, v->failure);
    else
        (void)snprintf(result, sizeof(result), "%s%s", ok ? "harmless: " : "NEVER CAUGHT",
                       ok ? s->reason : "");
    printf("  %-4s %6llu  %-44s %s\n", s->is_dir ? "dir" : "file", (unsigned long long)s->hits,
           s->name, result);
    return ok;
}

bool negative_run(uint64_t seed, unsigned jobs)
{
    static struct site sites[SITES_MAX];
    size_t count = collect(seed, sites);
    bool ok = count > 0;
    for (size_t i = 0; i < count; i++) {
        if (i >= jobs)
            collect_verdict(&sites[i - jobs]);
        start(&sites[i]);
    }
    for (size_t i = count > jobs ? count - jobs : 0; i < count; i++)
        collect_verdict(&sites[i]);
    printf("negative control: %zu sync sites, each swallowed in turn\n", count);
    printf("  kind   hits  site\n");
    for (size_t i = 0; i < count; i++)
        ok = print_site(&sites[i]) && ok;
    printf("negative control: %s\n", ok ? "ok" : "FAILED");
    return ok;
}
