/*
 * bench/upsert.c: SQLite's own sorted upsert rate: the peer of `./x bench cdc`.
 *
 * A table of documents by id as any program would keep it (WITHOUT ROWID, WAL, synchronous =
 * NORMAL), filled with --docs rows of 200 bytes. Measured: --changes upserts of ids chosen
 * uniformly, in transactions of --batch, each sorted by id, with one prepared statement, and a last
 * checkpoint. Prints one JSON line.
 *
 * Threads: one.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "bench/common.h"
#include "bench/options.h"

#define DOC_BYTES 200

struct options {
    uint64_t docs, changes, batch, seed;
    const char *path;
};

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        bench_die("%s: %s", sql, sqlite3_errmsg(db));
}

static sqlite3 *open_database(const char *path)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK)
        bench_die("%s: %s", path, db != NULL ? sqlite3_errmsg(db) : "out of memory");
    run(db, "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            "PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 8192;"
            "CREATE TABLE doc (id BLOB PRIMARY KEY, doc TEXT NOT NULL, lsn INTEGER NOT NULL,"
            "ts INTEGER NOT NULL) WITHOUT ROWID");
    return db;
}

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void upsert(sqlite3 *db, sqlite3_stmt *s, uint64_t id, uint64_t lsn)
{
    char key[24], doc[DOC_BYTES + 1];
    int key_len = snprintf(key, sizeof(key), "doc-%08llu", (unsigned long long)id);
    int head = snprintf(doc, sizeof(doc), "{\"n\":%llu,\"text\":\"", (unsigned long long)lsn);
    uint64_t random = lsn;
    for (int i = head; i < DOC_BYTES - 2; i++)
        doc[i] = (char)('a' + bench_random(&random) % 26);
    memcpy(doc + DOC_BYTES - 2, "\"}", 3);
    sqlite3_bind_blob(s, 1, key, key_len, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, doc, DOC_BYTES, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, (sqlite3_int64)lsn);
    sqlite3_bind_int64(s, 4, (sqlite3_int64)lsn);
    if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s) != SQLITE_OK)
        bench_die("upsert: %s", sqlite3_errmsg(db));
}

/** One transaction of `count` ids, sorted first. */
static void upsert_batch(sqlite3 *db, sqlite3_stmt *s, uint64_t *ids, size_t count, uint64_t *lsn)
{
    qsort(ids, count, sizeof(*ids), compare);
    run(db, "BEGIN");
    for (size_t i = 0; i < count; i++)
        upsert(db, s, ids[i], (*lsn)++);
    run(db, "COMMIT");
}

/** Upserts `changes` rows in batches: ids in their order where `random` is NULL, else any of docs.
 */
static void upsert_all(sqlite3 *db, sqlite3_stmt *s, const struct options *o, uint64_t changes,
                       uint64_t *random, uint64_t *lsn)
{
    uint64_t *ids = xcalloc(o->batch, sizeof(*ids));
    for (uint64_t done = 0; done < changes; done += o->batch) {
        size_t count = (size_t)MIN(o->batch, changes - done);
        for (size_t i = 0; i < count; i++)
            ids[i] = random != NULL ? bench_random(random) % o->docs : done + i;
        upsert_batch(db, s, ids, count, lsn);
    }
    run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    free(ids);
}

static void measure(const struct options *o)
{
    static const char sql[] = "INSERT INTO doc VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                              "doc = excluded.doc, lsn = excluded.lsn, ts = excluded.ts";
    sqlite3 *db = open_database(o->path);
    sqlite3_stmt *s = NULL;
    uint64_t lsn = 0, random = o->seed;

    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        bench_die("prepare: %s", sqlite3_errmsg(db));
    upsert_all(db, s, o, o->docs, NULL, &lsn);
    uint64_t begin = bench_now_ns();
    double cpu = bench_self_cpu_s();
    upsert_all(db, s, o, o->changes, &random, &lsn);
    double took = (double)(bench_now_ns() - begin) / 1e9;
    printf("{\"bench\":\"limit.upsert\",\"docs\":%llu,\"changes\":%llu,\"batch\":%llu,"
           "\"seconds\":%.3f,\"cpu_s\":%.3f,\"changes_per_s\":%.0f}\n",
           (unsigned long long)o->docs, (unsigned long long)o->changes,
           (unsigned long long)o->batch, took, bench_self_cpu_s() - cpu, (double)o->changes / took);
    sqlite3_finalize(s);
    sqlite3_close(db);
}

static const char usage[] = "Usage: upsert [--docs N] [--changes N] [--batch N] [--seed N] FILE\n"
                            "SQLite's rate of sorted upserts into a new database FILE.\n"
                            "Example: upsert --docs 1000000 --changes 1000000 /var/tmp/peer.db\n";

int main(int argc, char **argv)
{
    struct options o = {.docs = 1000000, .changes = 1000000, .batch = 200000, .seed = 1};
    const struct bench_option options[] = {{"docs", .whole = &o.docs},
                                           {"changes", .whole = &o.changes},
                                           {"batch", .whole = &o.batch},
                                           {"seed", .whole = &o.seed},
                                           {.name = NULL}};

    o.path = bench_options(argc, argv, options, usage);
    if (o.docs == 0 || o.batch == 0)
        bench_usage(usage);
    measure(&o);
    return 0;
}
