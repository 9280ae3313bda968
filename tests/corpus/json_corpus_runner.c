/*
 * tests/corpus/json_corpus_runner.c: says of each file named on the command line whether the JSON
 * scanner takes it as one JSON text: a line `accept FILE`, or `reject FILE: sentence`. Every
 * engine, and a scan of every beginning of the text (as when it arrives in pieces), must agree with
 * that, else it aborts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json_engine.h"
#include "base/limits.h"

#define FILE_BYTES_MAX MIB(1)
#define PIECES_BYTES_MAX 4096 /* scanning every beginning is quadratic */

static void engines_check(const char *data, size_t len, err_t expected, size_t value_len)
{
    for (const struct json_engine *e = json_engines; e->name != NULL; e++) {
        if (!e->usable())
            continue;
        struct json_input in = {.data = data, .len = len, .at_end = true};
        struct json_scan scan;
        err_t err = json_scan_with(e->scan, &in, NULL, LIMIT_JSON_DEPTH, &scan);
        ASSERT(err == expected);
        ASSERT(err != OK || scan.len == value_len);
    }
}

static void pieces_check(const char *data, size_t len, err_t expected, size_t value_len)
{
    for (size_t cut = 0; cut <= MIN(len, PIECES_BYTES_MAX); cut++) {
        struct json_input in = {.data = data, .len = cut};
        struct json_scan scan;
        err_t err = json_scan_value(&in, NULL, LIMIT_JSON_DEPTH, &scan);
        ASSERT(err == ERR_AGAIN || err == expected);
        ASSERT(err != OK || scan.len == value_len);
    }
}

static void text_judge(const char *path, const char *data, size_t len)
{
    struct json_input in = {.data = data, .len = len, .at_end = true};
    struct json_scan scan;
    err_t value = json_scan_value(&in, NULL, LIMIT_JSON_DEPTH, &scan);
    engines_check(data, len, value, value == OK ? scan.len : 0);
    pieces_check(data, len, value, value == OK ? scan.len : 0);
    if (json_scan_document(&in, NULL, LIMIT_JSON_DEPTH, &scan) == OK)
        printf("accept %s\n", path);
    else
        printf("reject %s: %s\n", path, err_last()->text);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        CLEANUP(xfree_ptr) char *data = NULL;
        size_t len;
        if (io_read_file(io_posix(), argv[i], FILE_BYTES_MAX, &data, &len) != OK) {
            fprintf(stderr, "json_corpus_runner: %s\n", err_last()->text);
            return 1;
        }
        text_judge(argv[i], data, len);
    }
    return 0;
}
