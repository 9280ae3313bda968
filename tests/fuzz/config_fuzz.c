/*
 * tests/fuzz/config_fuzz.c: any bytes as a settings file, and its first line as the environment's
 * keys. What loads can be printed, and every number lies within its bounds; what does not load
 * names the file. Covers: server/config.c server/config_print.c net/http_proxy.c access/keys_json.c
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bounds(const struct config *c)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *row = &config_settings[i];
        if (row->type != SETTING_INT && row->type != SETTING_BYTES)
            continue;
        int64_t value;
        memcpy(&value, (const char *)c + row->field, sizeof(value));
        ASSERT(value >= row->min && value <= row->max);
    }
}

static void load(const char *path, const char *const *env)
{
    struct config c;
    err_t err = config_load(&(struct config_sources){.file = path, .env = env}, &c);
    if (err != OK) {
        ASSERT(err == ERR_INVALID_CONFIG && *err_text(err) != '\0');
        return;
    }
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    config_print(&c, &out);
    config_print_json(&c, &out);
    check_bounds(&c);
    config_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("spillway.conf", MFD_CLOEXEC);
    ASSERT(fd >= 0);
    ssize_t written = write(fd, data, size);
    ASSERT(written == (ssize_t)size);
    CLEANUP(xfree_ptr) char *path = xasprintf("/proc/self/fd/%d", fd);
    load(path, NULL);

    const char *newline = size == 0 ? NULL : memchr(data, '\n', size);
    size_t len = newline == NULL ? size : (size_t)(newline - (const char *)data);
    CLEANUP(xfree_ptr)
    char *keys = xasprintf("NAMESPACE_API_KEYS=%.*s", (int)len, (const char *)data);
    const char *const env[] = {keys, NULL};
    load("/dev/null", env);
    close(fd);
    return 0;
}
