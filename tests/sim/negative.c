#include "tests/sim/negative.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/chain.h"

#define TRACE_HISTORIES 300
#define CRASHES_MAX 20000
#define SITES_MAX 128
#define FRAMES_SHOWN 3

/* Sites whose loss costs time and no data: what they sync is derived and checked when it is read.
 * `function` is the innermost frame outside of base/, matched by its beginning. */
static const struct {
    const char *function;
    const char *reason;
} harmless[] = {
    {"segment_index_write", "an index is checked against the log and rebuilt"},
};

struct verdict {
    bool caught;
    bool died; /* an assertion of the product, which is being caught too */
    uint64_t crashes;
    char failure[512];
};

struct site {
    uint64_t id;
    bool is_dir;
    uint64_t hits;
    char frames[FRAMES_SHOWN][96]; /* "function file:line" */
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

static size_t collect(uint64_t seed, struct site *sites)
{
    simdisk_trace_sites(true);
    struct chain_result r = {0};
    for (uint64_t i = 0; i < TRACE_HISTORIES && !r.failed; i++)
        chain_random(seed + i, &r);
    if (r.failed)
        return 0;
    size_t count = MIN(simdisk_site_count(), SITES_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct simdisk_site *s = simdisk_site_at(i);
        sites[i] = (struct site){.id = s->id, .is_dir = s->is_dir, .hits = s->hits, .fd = -1};
        for (size_t k = 0; k < FRAMES_SHOWN; k++)
            name_frame(s->frames[k], sites[i].frames[k], sizeof(sites[i].frames[k]));
    }
    return count;
}

static struct verdict hunt(uint64_t id, uint64_t seed)
{
    struct chain_result r = {0};
    simdisk_swallow_site(id);
    while (!r.failed && r.crashes < CRASHES_MAX)
        chain_random(seed++, &r);
    struct verdict v = {.caught = r.failed, .crashes = r.crashes};
    memcpy(v.failure, r.failure, sizeof(v.failure));
    return v;
}

static void start(struct site *s, uint64_t seed)
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
        struct verdict v = hunt(s->id, seed);
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

static const char *excuse(const struct site *s)
{
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
        for (size_t k = 0; k < FRAMES_SHOWN; k++)
            if (strncmp(s->frames[k], harmless[i].function, strlen(harmless[i].function)) == 0)
                return harmless[i].reason;
    return NULL;
}

static bool print_site(const struct site *s)
{
    char result[160];
    const char *reason = excuse(s);
    bool ok = s->verdict.caught || reason != NULL;
    if (s->verdict.died)
        (void)snprintf(result, sizeof(result), "caught by an assertion");
    else if (s->verdict.caught)
        (void)snprintf(result, sizeof(result), "caught after %llu crashes",
                       (unsigned long long)s->verdict.crashes);
    else
        (void)snprintf(result, sizeof(result), "%s after %llu crashes%s%s",
                       ok ? "not caught" : "NEVER CAUGHT", (unsigned long long)s->verdict.crashes,
                       ok ? ": " : "", ok ? reason : "");
    printf("  %-4s %6llu  %-36s < %-36s < %-36s  %s\n", s->is_dir ? "dir" : "file",
           (unsigned long long)s->hits, s->frames[0], s->frames[1], s->frames[2], result);
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
        start(&sites[i], seed);
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
