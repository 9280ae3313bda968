/*
 * base/err.h: one error type for the whole program.
 *
 * A function that can fail returns err_t: 0 (OK) or one row of err.def. It writes its outputs only
 * on success. Where the error is first seen it records a sentence (what happened, to which thing)
 * with err_fail; callers pass the code on with TRY and do not re-word it. The boundary (a door, a
 * command) logs or answers once.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/base.h"

enum err_code {
    OK = 0,
#define ERR(name, wire, text, http, kafka) ERR_##name,
#include "base/err.def"
#undef ERR
    ERR_COUNT
};
typedef enum err_code err_t;

/** Where and why the calling thread last recorded an error. Valid until the thread's next err_fail.
 */
struct err_detail {
    err_t code;
    const char *file; /* source position that recorded it */
    int line;
    char text[512]; /* a sentence; never holds a secret */
};

/** Table look-ups. `code` is a row of err.def. Any thread. */
const char *err_wire_code(err_t code);
const char *err_default_text(err_t code);
int err_http_status(err_t code);
int16_t err_kafka_code(err_t code);
/** Whether what `code` says may pass by itself; a missing secret or a damaged shard does not. */
bool err_passes(err_t code);

/** The calling thread's last detail; text is "" before the first. */
const struct err_detail *err_last(void);
/** The last detail's sentence if it belongs to `code`, else the row's default text. */
const char *err_text(err_t code);

err_t err_record(err_t code, int sys_errno, const char *file, int line, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/** Record a sentence and evaluate to the code. */
#define err_fail(code, ...) err_record((code), 0, __FILE__, __LINE__, __VA_ARGS__)
/** The same with errno's text appended; ENOSPC and EDQUOT turn the code into ERR_NO_SPACE. */
#define err_fail_errno(code, ...) err_record((code), errno, __FILE__, __LINE__, __VA_ARGS__)

#define TRY(expr)                                                                                  \
    do {                                                                                           \
        err_t try_err_ = (expr);                                                                   \
        if (unlikely(try_err_ != OK))                                                              \
            return try_err_;                                                                       \
    } while (0)

#endif
