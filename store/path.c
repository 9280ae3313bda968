/*
 * store/path.c: names in a store: what a caller may ask for, and how any name becomes one.
 */
#include "store/path.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "store/store.h"

#define PATH_BYTES_MAX 1024
#define PART_BYTES_MAX 255
#define COMPONENT_BYTES_MAX 120

static bool part_is_safe(const char *part, size_t len)
{
    if (len == 0 || len > PART_BYTES_MAX || part[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)part[i] < 0x20 || part[i] == 0x7f)
            return false;
    return true;
}

err_t store_path_check(const char *path)
{
    size_t total = strlen(path);
    bool safe = total > 0 && total <= PATH_BYTES_MAX;
    for (const char *part = path; safe && part != NULL;) {
        const char *slash = strchr(part, '/');
        safe = part_is_safe(part, slash != NULL ? (size_t)(slash - part) : strlen(part));
        part = slash != NULL ? slash + 1 : NULL;
    }
    if (!safe)
        return err_fail(ERR_USAGE, "\"%.200s\" is no name of an object in a store", path);
    return OK;
}

/** The length of "scheme" in "scheme:…" (RFC 3986 section 3.1), 0: there is none. */
static size_t scheme_len(const char *url)
{
    size_t n = 0;
    while ((url[n] >= 'a' && url[n] <= 'z') || (url[n] >= 'A' && url[n] <= 'Z') ||
           (n > 0 && url[n] != '\0' && strchr("0123456789+-.", url[n]) != NULL))
        n++;
    return url[n] == ':' ? n : 0;
}

err_t store_url_directory(const char *url, char **ret)
{
    size_t scheme = scheme_len(url);
    const char *dir = url;
    if (scheme > 0) {
        if (scheme != 4 || strncmp(url, "file", 4) != 0)
            return err_fail(
                ERR_USAGE,
                "a store at \"%.200s\": only file:/directory or a plain path is supported", url);
        dir = url + 5;
        if (strncmp(dir, "//", 2) == 0) {
            dir += 2;
            if (*dir != '/')
                return err_fail(
                    ERR_USAGE,
                    "\"%.200s\" names a host; write file:/directory or file:///directory", url);
        }
    }
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    if (len == 0)
        return err_fail(ERR_USAGE, "\"%.200s\" names no directory", url);
    *ret = xstrndup(dir, len);
    return OK;
}

static bool is_plain(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/** Whether the name would look like a manifest, which lies beside the directories of collections.
 */
static bool ends_in_json(struct slice name)
{
    return name.len >= 5 && memcmp(name.data + name.len - 5, ".json", 5) == 0;
}

/* Injective: "%" and "~" are never plain, so an escape cannot be written by hand, and only cut
 * names end in "~" and digits. Dots are kept inside only, so that no name is hidden, "." or "..".
 */
char *store_component(struct slice name)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    size_t dots_end = ends_in_json(name) ? name.len - 5 : name.len - MIN(name.len, 1);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool inner = i > 0 && i < dots_end;
        if (is_plain(c) || (c == '.' && inner))
            buf_append_char(&out, c);
        else
            buf_printf(&out, "%%%02X", (unsigned)(unsigned char)c);
    }
    if (out.len > COMPONENT_BYTES_MAX) {
        char hash[HASH128_TEXT];
        hash128_format(hash128(name.data, name.len), hash);
        out.len = COMPONENT_BYTES_MAX;
        buf_printf(&out, "~%s", hash);
    }
    return xstrndup(out.data != NULL ? out.data : "", out.len);
}
