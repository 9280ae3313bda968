/*
 * base/base.h: the few macros that every file uses.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* sys/param.h, which libuv includes, has its own. */
#undef MIN
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define KIB(n) ((size_t)(n) << 10)
#define MIB(n) ((size_t)(n) << 20)

/** The struct of type `type` whose field `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/** Runs `fn(&var)` when the variable leaves scope; `fn` must accept what TAKE leaves behind. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
/** Moves the value out of pointer variable `p`, leaving NULL, so that its CLEANUP does nothing. */
#define TAKE(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) take_tmp_ = (p);                                                             \
        (p) = NULL;                                                                                \
        take_tmp_;                                                                                 \
    })

/** Aborts with file and line when a bug is found. On in every build; conditions have no side
 * effects. */
#define ASSERT(cond)                                                                               \
    do {                                                                                           \
        if (unlikely(!(cond)))                                                                     \
            base_assert_failed(#cond, __FILE__, __LINE__);                                         \
    } while (0)

_Noreturn void base_assert_failed(const char *cond, const char *file, int line);

/** malloc/calloc/realloc that abort when memory is gone. For sizes that the program itself decides;
 *  sizes from wire, disk or configuration are checked against base/limits.h first. Any thread. */
void *xmalloc(size_t size) MUST_USE __attribute__((malloc, alloc_size(1)));
void *xcalloc(size_t count, size_t size) MUST_USE __attribute__((malloc, alloc_size(1, 2)));
void *xrealloc(void *ptr, size_t size) MUST_USE __attribute__((alloc_size(2)));
char *xstrdup(const char *text) MUST_USE;
/** The `len` bytes at `text` as a NUL-terminated string of its own. */
char *xstrndup(const char *text, size_t len) MUST_USE;
/** printf into a fresh string. */
char *xasprintf(const char *fmt, ...) MUST_USE PRINTF_LIKE(1, 2);
/** CLEANUP function for any malloc'd pointer variable. */
void xfree_ptr(void *ptr_to_ptr);

/** Borrowed bytes, not NUL-terminated. */
struct slice {
    const char *data;
    size_t len;
};
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

/** The value of a hex digit of either case; -1 for any other character. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

struct slice slice_of(const char *text);
bool slice_equal(struct slice a, struct slice b);
/** The order of bytes, unsigned; a prefix comes first. Below, at, or above 0. */
int slice_compare(struct slice a, struct slice b);
bool slice_equal_nocase(struct slice a, struct slice b);
/** Decimal digits alone, 0 to 2^63 - 1; false for anything else. */
bool slice_to_number(struct slice text, int64_t *ret);

#endif
