/*
 * snapshot/restore.h: what to do with a reconstruction: write it to a file, compare it with the
 * current state, put it back in place, drill it.
 *
 * Threads: any but reactors; blocks.
 */
#ifndef SNAPSHOT_RESTORE_H
#define SNAPSHOT_RESTORE_H

#include "base/buf.h"
#include "snapshot/rebuild.h"

enum restore_format { RESTORE_NDJSON, RESTORE_PARQUET, RESTORE_SQLITE };

struct restore_result {
    uint64_t rows;
    struct state_hash hash;
};
/** A file (a temporary name beside it, synced, renamed; ERR_EXISTS when it is there), or NDJSON to
 * `fd` when path is NULL. */
struct restore_output {
    enum restore_format format;
    const char *path;
    int fd;
};
err_t restore_to_file(struct source *s, const char *namespace_name, struct slice collection,
                      const struct rebuild_plan *plan, const struct restore_output *output,
                      const struct rebuild_progress *progress, struct restore_result *ret) MUST_USE;

/** Calls fn for each document that is not the same in both reconstructions, by id; NULL: absent
 * there. */
typedef err_t (*restore_compare_fn)(void *arg, const struct state_doc *from,
                                    const struct state_doc *to);
err_t restore_compare(struct source *s, const char *namespace_name, struct slice collection,
                      const struct rebuild_plan *from, const struct rebuild_plan *to,
                      restore_compare_fn fn, void *arg) MUST_USE;

/** A compensating change: what turns the current document into the wanted one. */
struct compensation {
    enum change_op op;
    struct slice id, doc; /* borrowed for the call */
    int64_t expect;       /* LSN of the current version, 0: absent */
};
struct restore_filter {
    struct slice *ids; /* sorted by bytes, each once; NULL: all */
    size_t id_count;
    /* Which changes to go back on; none set: all. only_deletes puts back what was deleted since. */
    bool only_deletes, only_updates, only_inserts;
    /* Undo just these LSNs, both inclusive; -1: no. Each document goes back to what it was before
     * undo_from, unless a later change than undo_to has touched it. The plan is then not looked at.
     */
    int64_t undo_from, undo_to;
    uint64_t max_changes; /* ERR_VALIDATION when more would be made; 0: no bound */
};
#define RESTORE_MISSING_SHOWN 10
struct restore_counts {
    uint64_t inserts, updates, deletes; /* compensating changes */
    /* Of the filter's ids: those of documents that are there now, or were then; and the first of
     * the others, borrowed from the filter. */
    uint64_t ids_given, ids_found;
    struct slice ids_missing[RESTORE_MISSING_SHOWN];
};
/** Compares with the current state and calls fn (NULL: only counts) for each change that is needed,
 * by id. filter NULL: all; otherwise undo_from and undo_to are set. With max_changes it counts
 * first, so that fn is not called at all when the bound does not hold. */
err_t restore_diff(struct source *s, const char *namespace_name, struct slice collection,
                   const struct rebuild_plan *plan, const struct restore_filter *filter,
                   err_t (*fn)(void *arg, const struct compensation *c), void *arg,
                   struct restore_counts *ret) MUST_USE;

struct drill_result {
    bool passed;
    int64_t lsn, took_us, at_us;
    char base[160];  /* the snapshot or data file that it began at; "": the empty collection */
    uint64_t deltas; /* how many it read behind it */
    char text[256];  /* the file and what is wrong, or "": plain ASCII */
};
/** Restores, from the store's files alone, the newest LSN at or before the target (NULL: the latest
 * state) that has a recorded hash, and compares. Damage is a drill that did not pass, not an error.
 * ERR_NOT_FOUND: no such collection, or nothing in the store yet; ERR_VALIDATION: nothing is
 * recorded that far back, and what rebuild_plan says of targets; ERR_UNAVAILABLE: stopped. */
err_t restore_drill(struct source *s, const char *namespace_name, struct slice collection,
                    const struct target *t, const struct rebuild_progress *progress,
                    struct drill_result *ret) MUST_USE;
/** Keeps the outcome as the collection's last, in <ns>/<collection>/drill.json, durably; beside a
 * running server, too. ERR_IO, ERR_NO_SPACE. */
err_t drill_save(struct source *s, const char *namespace_name, struct slice collection,
                 const struct drill_result *r) MUST_USE;
/** The last outcome that was kept. ERR_NOT_FOUND: none yet; ERR_CORRUPT: its file is damaged. */
err_t drill_last(struct store *s, const char *namespace_name, struct slice collection,
                 struct drill_result *ret) MUST_USE;
/** {"passed":…,"lsn":…,"at":…,"tookUs":…,"base":…,"deltas":…,"text":…} */
void drill_to_json(const struct drill_result *r, struct buf *out);

#endif
