#include "tests/test.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/event_input.h"

/** A descriptor that gives `text` in pieces of `step` bytes. The writer is a child process. */
static int pipe_of(const char *text, size_t len, size_t step)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        for (size_t at = 0; at < len; at += step)
            if (write(ends[1], text + at, MIN(step, len - at)) <= 0)
                break;
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

/** "line:event|line:event|…", or what went wrong. */
static void read_all(const char *text, size_t step, struct buf *out)
{
    int fd = pipe_of(text, strlen(text), step);
    struct event_input in;
    event_input_init(&in, fd, "in");
    err_t err;
    struct slice event;
    uint64_t line;
    while ((err = event_input_next(&in, &event, &line)) == OK)
        buf_printf(out, "%llu:%.*s|", (unsigned long long)line, (int)event.len, event.data);
    if (err != ERR_END)
        buf_printf(out, "!%s", err_text(err));
    else
        assert_int_equal(in.bytes_done, strlen(text));
    buf_append_char(out, '\0');
    event_input_release(&in);
    close(fd);
    wait(NULL);
}

static void events_are_found_however_the_bytes_arrive(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *events;
    } cases[] = {
        {"", ""},
        {" \n\n", ""},
        {"{\"a\":1}", "1:{\"a\":1}|"},
        {"{\"a\":1}\n{\"b\":2}\r\n\n  {\"c\":3} \n", "1:{\"a\":1}|2:{\"b\":2}|4:{\"c\":3}|"},
        {"\n\n[]", ""},
        {"[{\"a\":[1,2]},\n{\"b\":\"],\"}\n,\n3]\n", "1:{\"a\":[1,2]}|2:{\"b\":\"],\"}|4:3|"},
        {"[1,2", "1:1|1:2|!in:1: the array is not closed"},
        {"[1 2]", "1:1|!in:1: a comma or ] was expected"},
        {"[1]\n2", "1:1|!in:2: something follows the array"},
        {"[\n", "!in:2: the array is not closed"},
        {"[1,]", "1:1|!in:1: "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step < 40; step += 19) {
            CLEANUP(buf_release) struct buf out = BUF_INIT;
            read_all(cases[i].text, step, &out);
            if (strncmp(out.data, cases[i].events, strlen(cases[i].events)) != 0)
                fail_msg("%s gave %s", cases[i].text, out.data);
            if (strchr(cases[i].events, '!') == NULL)
                assert_string_equal(out.data, cases[i].events);
        }
    }
}

static void a_long_event_is_whole(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    buf_append_str(&text, "[\"");
    for (int i = 0; i < 100000; i++)
        buf_append_str(&text, "0123456789");
    buf_append_str(&text, "\", 2]");
    int fd = pipe_of(text.data, text.len, 65536);
    struct event_input in;
    struct slice event;
    uint64_t line;
    event_input_init(&in, fd, "in");
    assert_ok(event_input_next(&in, &event, &line));
    assert_int_equal(event.len, 1000002);
    assert_ok(event_input_next(&in, &event, &line));
    assert_int_equal(event.len, 1);
    assert_int_equal(event_input_next(&in, &event, &line), ERR_END);
    assert_int_equal(event_input_next(&in, &event, &line), ERR_END);
    event_input_release(&in);
    close(fd);
    wait(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_found_however_the_bytes_arrive),
        cmocka_unit_test(a_long_event_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
