/*
 * cdc/change.h: a change of a collection, as a record of the log says it.
 *
 * A change is an event whose type is collection.insert, collection.update or collection.delete with
 * `collection`, `docId`, `doc` (an object; not for a delete), and optionally `prev`, `bookmark`,
 * `expect` (an LSN; 0 = absent) and `restore`. It lies on shard 0 of its namespace's stream; its
 * LSN is its offset there. `ts` is the event's own, in microseconds.
 */
#ifndef CDC_CHANGE_H
#define CDC_CHANGE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/err.h"
#include "log/batch.h"

enum change_op { CHANGE_INSERT = 'i', CHANGE_UPDATE = 'u', CHANGE_DELETE = 'd' };

struct change {
    enum change_op op;
    int64_t lsn;
    int64_t ts_us;
    struct slice collection; /* decoded */
    struct slice doc_id;     /* decoded */
    struct slice doc;        /* the bytes as sent; data NULL for a delete */
    struct slice prev;       /* the bytes as sent, or data NULL */
    struct slice bookmark;   /* decoded, or data NULL */
    struct slice source;     /* decoded, or data NULL */
    struct slice restore;    /* the bytes as sent, or data NULL */
    int64_t expect;          /* -1: none */
    bool skipped;            /* its expect did not hold: set by the state, never by the parser */
};

enum change_verdict {
    CHANGE_IS,        /* *ret is set; slices borrow from the record or the arena */
    CHANGE_IS_NOT,    /* another event */
    CHANGE_MALFORMED, /* a dead letter; *ret_reason says why */
};

/** Slices of *ret borrow from rec->value and from `arena`; *ret_reason is static.
 * `append_us`: when the record was appended (LogAppendTime or arrival), for the rule that a change
 * is at most an hour ahead of its arrival; -1 skips that rule. */
enum change_verdict change_parse(const struct record *rec, int64_t append_us, struct arena *arena,
                                 struct change *ret, const char **ret_reason);

/**
 * The changes in one batch of the log, in order of their LSNs. A batch that is marked as plain is
 * passed over unread. What cannot be read (its CRC is right: somebody produced it like that) is
 * given as one malformed change at the batch's first offset, and what follows it in the log is
 * good: no reader of the log stops there.
 */
struct change_reader {
    struct record_reader records;
    struct record record; /* that *ret came from; borrowed until the next call */
    int64_t from, base_offset, append_us;
    err_t end; /* OK: there may be more; ERR_END; else why the rest cannot be read */
};
/** `batch`, as the log's reader gave it, is borrowed until the close; records below LSN `from` are
 * passed over. */
void change_reader_open(struct change_reader *r, const uint8_t *batch, const struct batch_header *h,
                        int64_t from);
/** False after the last. *ret_reason: NULL for a change, else why it is malformed, until the next
 * call; of *ret then only lsn is set. Slices as with change_parse. */
bool change_reader_next(struct change_reader *r, struct arena *arena, struct change *ret,
                        const char **ret_reason);
void change_reader_close(struct change_reader *r);

/** Whether `expect` holds against the document's version (there: its LSN). 0 means absent, but in
 * an update or delete of a restore, which is made for a version that is there: then it is that of
 * LSN 0. */
bool change_expect_holds(const struct change *c, bool there, int64_t lsn);

/** State hash: H = sum modulo 2^128 of XXH3_128(le32(length of id) ‖ id ‖ doc). */
struct state_hash {
    uint64_t low, high;
};
struct state_hash state_hash_of(struct slice id, struct slice doc);
void state_hash_add(struct state_hash *h, struct state_hash x);
void state_hash_sub(struct state_hash *h, struct state_hash x);
bool state_hash_equal(struct state_hash a, struct state_hash b);
/** 32 hex digits, high first, and a NUL. */
void state_hash_format(struct state_hash h, char out[33]);
bool state_hash_parse(const char *text, struct state_hash *ret);

#endif
