#include "tests/scratch.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/io.h"
#include "base/timefmt.h"

static void crc32c_gives_the_check_value(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
    assert_int_equal(crc32c(0, "", 0), 0);
}

static void varints_round_trip_and_refuse_overlong(void **state)
{
    (void)state;
    static const int64_t values[] = {0,   -1,        1,         63,        -64,      64,
                                     300, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        CLEANUP(buf_release) struct buf b = BUF_INIT;
        put_varlong(&b, values[i]);
        assert_int_equal(b.len, uvarlong_size(zigzag64(values[i])));
        struct cursor c = cursor_of(b.data, b.len);
        assert_true(cursor_varlong(&c) == values[i]);
        assert_true(cursor_ok(&c) && cursor_left(&c) == 0);
    }
    struct cursor overlong = cursor_of("\xff\xff\xff\xff\xff\x01", 6);
    (void)cursor_uvarint(&overlong);
    assert_false(cursor_ok(&overlong));
    struct cursor cut = cursor_of("\x80", 1);
    (void)cursor_uvarlong(&cut);
    assert_false(cursor_ok(&cut));
}

static void times_parse_and_print(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out; /* NULL: refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"},
        {"2026-02-02T14:30:00.123456+02:00", "2026-02-02T12:30:00.123456Z"},
        {"2024-02-29T23:59:60Z", "2024-03-01T00:00:00.000Z"},
        {"2026-02-02t14:30:00.5z", "2026-02-02T14:30:00.500Z"},
        {"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
        {"2023-02-29T00:00:00Z", NULL},
        {"2026-02-02T14:30:00", NULL},
        {"2026-02-02", NULL},
        {"2026-02-02T24:00:00Z", NULL},
        {"2026-02-02T14:30:00.Z", NULL},
        {"2026-02-02T14:30:00Z ", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t us;
        bool good = timefmt_parse(cases[i].in, strlen(cases[i].in), &us);
        assert_int_equal(good, cases[i].out != NULL);
        if (good) {
            char text[TIMEFMT_MAX];
            timefmt_rfc3339(us, text);
            assert_string_equal(text, cases[i].out);
        }
    }
}

static void numbers_are_digits_alone(void **state)
{
    (void)state;
    static const char *const refused[] = {"",
                                          "-1",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "1e3",
                                          "1.0",
                                          "0x1",
                                          "9223372036854775808",
                                          "99999999999999999999"};
    int64_t n = 7;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_false(slice_to_number(slice_of(refused[i]), &n));
    assert_int_equal(n, 7);
    assert_true(slice_to_number(SLICE("0"), &n) && n == 0);
    assert_true(slice_to_number(SLICE("0042"), &n) && n == 42);
    assert_true(slice_to_number(SLICE("9223372036854775807"), &n) && n == INT64_MAX);
}

static void json_strings_are_escaped_and_valid(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf b = BUF_INIT;
    buf_append_json(&b, "a\"\\\n\x01\xc3\xa9\xff", 8);
    buf_append_char(&b, '\0');
    assert_string_equal(b.data, "\"a\\\"\\\\\\u000a\\u0001\xc3\xa9\xef\xbf\xbd\"");
}

static void replace_is_whole_and_readable(void **state)
{
    (void)state;
    struct io *io = io_posix();
    char dir[SCRATCH_BYTES];
    scratch_make(dir);
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/file", dir);
    CLEANUP(xfree_ptr) char *data = NULL;
    size_t len;
    assert_int_equal(io_read_file(io, path, 100, &data, &len), ERR_NOT_FOUND);
    assert_ok(io_replace(io, path, "one", 3));
    assert_ok(io_replace(io, path, "second", 6));
    assert_ok(io_read_file(io, path, 100, &data, &len));
    assert_int_equal(len, 6);
    assert_string_equal(data, "second");
    CLEANUP(xfree_ptr) char *ignored = NULL;
    assert_int_equal(io_read_file(io, path, 3, &ignored, &len), ERR_CORRUPT);
    assert_ok(io_unlink(io, path));
    assert_ok(io_rmdir(io, dir)); /* nothing else is in it */
}

/* More buffers than one call takes, more bytes than one piece, no length or place that is even. */
static void scattered_writes_are_whole_and_in_order(void **state)
{
    (void)state;
    enum { BUFFERS = 2100, AT = 4093 };
    char dir[SCRATCH_BYTES];
    scratch_make(dir);
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/file", dir);
    CLEANUP(xfree_ptr) uint8_t *data = xmalloc(MIB(4));
    CLEANUP(xfree_ptr) uint8_t *back = xmalloc(MIB(4));
    for (size_t i = 0; i < MIB(4); i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    static struct iovec iov[BUFFERS];
    size_t len = 0;
    for (size_t i = 0; i < BUFFERS; i++) {
        size_t piece = i % 7 == 0 ? 0 : i == 900 ? MIB(1) + 1 : i * 37 % 2001;
        iov[i] = (struct iovec){data + len, piece};
        len += piece;
    }
    assert_true(len > MIB(2) && len < MIB(4));
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    assert_ok(io_open(io_posix(), path, IO_WRITE | IO_CREATE, &file));
    assert_ok(io_file_pwritev(file, iov, BUFFERS, AT));
    assert_ok(io_file_sync(file));
    uint64_t size;
    assert_ok(io_file_size(file, &size));
    assert_int_equal(size, AT + len);
    assert_ok(io_file_pread_all(file, back, len, AT));
    assert_memory_equal(back, data, len);
    scratch_remove(dir);
}

static void arena_pieces_do_not_overlap(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    char *pieces[100];
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        pieces[i] = arena_alloc(&a, i * 37 + 1);
        memset(pieces[i], (int)i, i * 37 + 1);
    }
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        for (size_t k = 0; k < i * 37 + 1; k++)
            assert_int_equal((unsigned char)pieces[i][k], i);
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 10));
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_check_value),
        cmocka_unit_test(varints_round_trip_and_refuse_overlong),
        cmocka_unit_test(times_parse_and_print),
        cmocka_unit_test(numbers_are_digits_alone),
        cmocka_unit_test(json_strings_are_escaped_and_valid),
        cmocka_unit_test(replace_is_whole_and_readable),
        cmocka_unit_test(scattered_writes_are_whole_and_in_order),
        cmocka_unit_test(arena_pieces_do_not_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
