/* Connections and listeners over real sockets, with a small protocol of the test's own: a
 * connection runs one command per byte that it receives. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "net/conn.h"
#include "tests/test.h"

#define FILE_BYTES (MIB(8) + 123)
#define OUTPUT_MAX KIB(256)

static struct {
    struct reactor_group *group;
    struct listener *listener;
    int port;
    int file;
    char *file_bytes;
    _Atomic int opened;
    _Atomic int closed;
    _Atomic int releases;
    _Atomic int drains;
    _Atomic int timeouts;
    _Atomic size_t output_peak;
    _Atomic unsigned per_reactor[2];
    _Atomic bool refuse;
    _Atomic(struct conn *) last;
} t;

/* The server's side --------------------------------------------------------------------------- */

static void count_release(void *arg)
{
    (void)arg;
    t.releases++;
}

static void run_command(struct conn *c, char command)
{
    switch (command) {
    case 'c':
        conn_write(c, "<copied>", 8);
        break;
    case 'o':
        conn_write_owned(c, xstrdup("<owned>"), 7);
        break;
    case 'f': /* part of the file */
        conn_write_file(c, t.file, 1000, 5000, count_release, NULL);
        break;
    case 'F': /* all of it */
        conn_write_file(c, t.file, 0, FILE_BYTES, count_release, NULL);
        break;
    case 'X': /* more than there is */
        conn_write_file(c, t.file, FILE_BYTES - 10, 1000, count_release, NULL);
        break;
    case 'k': {
        char kib[1024];
        memset(kib, 'k', sizeof(kib));
        conn_write(c, kib, sizeof(kib));
        break;
    }
    case 'p':
        conn_pause_read(c);
        break;
    case 'd':
        conn_set_deadline(c, 50);
        break;
    case 'D':
        conn_set_deadline(c, 0);
        break;
    case 'q':
        conn_close(c);
        conn_write(c, "late", 4);                               /* does nothing */
        conn_write_file(c, t.file, 0, 10, count_release, NULL); /* is released at once */
        break;
    case 'w':
        conn_write(c, "bye", 3);
        conn_close_after_write(c);
        break;
    default:
        fail_msg("unknown command %c", command);
    }
}

static bool on_open(struct conn *c, void *arg)
{
    assert_ptr_equal(arg, &t);
    assert_true(reactor_is_current(conn_reactor(c)));
    assert_string_equal(conn_peer(c), "127.0.0.1");
    conn_set_user(c, &t.opened);
    t.per_reactor[reactor_index(conn_reactor(c))]++;
    t.last = c;
    t.opened++; /* last: what waits for it reads the rest */
    return !t.refuse;
}

static void on_data(struct conn *c, const char *data, size_t len)
{
    assert_ptr_equal(conn_user(c), &t.opened);
    for (size_t i = 0; i < len; i++)
        run_command(c, data[i]);
    if (conn_output_bytes(c) > t.output_peak)
        t.output_peak = conn_output_bytes(c);
}

static void on_drain(struct conn *c)
{
    assert_int_equal(conn_output_bytes(c), 0);
    t.drains++;
}

static void on_timeout(struct conn *c)
{
    t.timeouts++;
    conn_write(c, "<timeout>", 9);
}

static void on_close(struct conn *c)
{
    assert_int_equal(conn_output_bytes(c), 0);
    t.closed++;
}

static const struct conn_ops ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_timeout = on_timeout,
    .on_close = on_close,
};

static struct listener_options options_for(const char *address)
{
    return (struct listener_options){.address = address,
                                     .ops = &ops,
                                     .arg = &t,
                                     .max_connections = 1000,
                                     .output_max_bytes = OUTPUT_MAX};
}

static int set_up(void **state)
{
    (void)state;
    t.file = memfd_create("conn_test", MFD_CLOEXEC);
    t.file_bytes = xmalloc(FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++)
        t.file_bytes[i] = (char)(i * 2654435761u >> 13);
    assert_int_equal(write(t.file, t.file_bytes, FILE_BYTES), FILE_BYTES);
    assert_ok(reactor_group_start(2, &t.group));
    struct listener_options options = options_for("127.0.0.1:0");
    assert_ok(listener_open(t.group, &options, &t.listener));
    t.port = atoi(strrchr(listener_address(t.listener), ':') + 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    listener_stop(t.listener);
    listener_close_all(t.listener);
    assert_int_equal(t.opened, t.closed);
    listener_free(t.listener);
    reactor_group_stop(t.group);
    free(t.file_bytes);
    close(t.file);
    return 0;
}

/* The client's side --------------------------------------------------------------------------- */

static int dial(int fd)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)t.port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(fd, (struct sockaddr *)&addr, sizeof(addr));
}

static int client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 60};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(dial(fd), 0);
    return fd;
}

static void command(int fd, const char *commands)
{
    assert_int_equal(send(fd, commands, strlen(commands), MSG_NOSIGNAL), strlen(commands));
}

static void expect_bytes(int fd, const char *bytes, size_t len)
{
    char *got = xmalloc(len);
    for (size_t have = 0; have < len;) {
        ssize_t n = recv(fd, got + have, len - have, 0);
        assert_true(n > 0);
        have += (size_t)n;
    }
    assert_memory_equal(got, bytes, len);
    free(got);
}

static void expect_text(int fd, const char *text)
{
    expect_bytes(fd, text, strlen(text));
}

static size_t expect_end(int fd)
{
    char buf[4096];
    size_t count = 0;
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        count += (size_t)n;
    assert_true(n == 0 || errno == ECONNRESET);
    close(fd);
    return count;
}

static void wait_for(const _Atomic int *value, int wanted)
{
    while (*value < wanted)
        sched_yield();
}

/* Waits for the end of the connections of earlier tests, so that counts can be compared. */
static void settle(void)
{
    while (listener_connections(t.listener) > 0)
        sched_yield();
}

/* Tests --------------------------------------------------------------------------------------- */

static void output_leaves_in_order_whatever_its_kind(void **state)
{
    (void)state;
    settle();
    int releases = t.releases;
    int fd = client();
    command(fd, "cofcfoc");
    expect_text(fd, "<copied><owned>");
    expect_bytes(fd, t.file_bytes + 1000, 5000);
    expect_text(fd, "<copied>");
    expect_bytes(fd, t.file_bytes + 1000, 5000);
    expect_text(fd, "<owned><copied>");
    wait_for(&t.releases, releases + 2);
    assert_int_equal(t.releases, releases + 2);
    close(fd);
}

static void a_large_file_is_sent_whole(void **state)
{
    (void)state;
    settle();
    int releases = t.releases;
    int drains = t.drains;
    int fd = client();
    command(fd, "cFFc");
    expect_text(fd, "<copied>");
    expect_bytes(fd, t.file_bytes, FILE_BYTES);
    expect_bytes(fd, t.file_bytes, FILE_BYTES);
    expect_text(fd, "<copied>");
    wait_for(&t.drains, drains + 1);
    assert_int_equal(t.drains, drains + 1);
    assert_int_equal(t.releases, releases + 2);
    close(fd);
}

static void what_was_not_sent_is_released_when_the_client_goes(void **state)
{
    (void)state;
    settle();
    int releases = t.releases;
    int closed = t.closed;
    int fd = client();
    command(fd, "FFFoF");
    expect_bytes(fd, t.file_bytes, 1000);
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    settle();
    assert_int_equal(t.closed, closed + 1);
    assert_int_equal(t.releases, releases + 4);
}

static void a_file_that_ends_early_closes_the_connection(void **state)
{
    (void)state;
    settle();
    int releases = t.releases;
    int fd = client();
    command(fd, "X");
    assert_int_equal(expect_end(fd), 10);
    wait_for(&t.releases, releases + 1);
    settle();
    assert_int_equal(t.releases, releases + 1);
}

static void a_client_that_does_not_read_is_not_read_either(void **state)
{
    (void)state;
    char *commands = xmalloc(KIB(64));
    memset(commands, 'k', KIB(64));
    int fd = client();
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    size_t sent = 0;
    ssize_t n;
    t.output_peak = 0;
    /* Each byte asks for 1 KiB; the server stops reading, so this stops before long. */
    while ((n = send(fd, commands, KIB(64), MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
        sent += (size_t)n;
    assert_int_equal(errno, EAGAIN);
    char buf[65536];
    for (size_t left = sent * 1024; left > 0; left -= (size_t)n) {
        n = recv(fd, buf, MIN(sizeof(buf), left), 0);
        assert_true(n > 0);
    }
    command(fd, "c");
    expect_text(fd, "<copied>");
    assert_true(t.output_peak <= OUTPUT_MAX + MIB(64)); /* what one read of 64 KiB may ask for */
    free(commands);
    close(fd);
}

struct resume {
    struct reactor_msg msg;
    struct conn *conn;
};

static void run_resume(struct reactor_msg *msg)
{
    struct resume *r = CONTAINER_OF(msg, struct resume, msg);
    conn_write(r->conn, "<resumed>", 9);
    conn_resume_read(r->conn);
}

static void a_paused_connection_reads_nothing_until_resumed(void **state)
{
    (void)state;
    int opened = t.opened;
    int fd = client();
    wait_for(&t.opened, opened + 1);
    struct resume resume = {.msg.run = run_resume, .conn = t.last};
    command(fd, "cp");
    expect_text(fd, "<copied>");
    command(fd, "o");
    reactor_post(conn_reactor(resume.conn), &resume.msg);
    expect_text(fd, "<resumed><owned>");
    close(fd);
}

static void deadlines_fire_once_unless_cancelled(void **state)
{
    (void)state;
    settle();
    int timeouts = t.timeouts;
    int fd = client();
    command(fd, "d");
    expect_text(fd, "<timeout>");
    command(fd, "dD");
    command(fd, "dd");
    expect_text(fd, "<timeout>");
    assert_int_equal(t.timeouts, timeouts + 2);
    close(fd);
}

static void closing_from_inside_a_callback_is_safe(void **state)
{
    (void)state;
    settle();
    int releases = t.releases;
    int closed = t.closed;
    int fd = client();
    command(fd, "ccq");
    assert_int_equal(expect_end(fd), 0); /* unsent output is dropped */
    settle();
    assert_int_equal(t.closed, closed + 1);
    assert_int_equal(t.releases, releases + 1);
}

static void closing_after_writing_sends_everything_first(void **state)
{
    (void)state;
    int fd = client();
    command(fd, "Fw");
    expect_bytes(fd, t.file_bytes, FILE_BYTES);
    expect_text(fd, "bye");
    assert_int_equal(expect_end(fd), 0);
}

static void a_connection_may_be_refused(void **state)
{
    (void)state;
    t.refuse = true;
    int fd = client();
    assert_int_equal(expect_end(fd), 0);
    t.refuse = false;
}

static void every_reactor_gets_connections(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    int fds[COUNT];
    t.per_reactor[0] = t.per_reactor[1] = 0;
    for (int i = 0; i < COUNT; i++)
        fds[i] = client();
    for (int i = 0; i < COUNT; i++) {
        command(fds[i], "c");
        expect_text(fds[i], "<copied>");
    }
    assert_true(t.per_reactor[0] > 0);
    assert_true(t.per_reactor[1] > 0);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
}

/* The server and this client share the process's descriptors: the limit is put where none is left.
 */
static void running_out_of_descriptors_is_survived(void **state)
{
    (void)state;
    struct rlimit old;
    int waiting = client();
    command(waiting, "c");
    expect_text(waiting, "<copied>");
    int starved = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int lowest = dup(starved);
    close(lowest);
    getrlimit(RLIMIT_NOFILE, &old);
    struct rlimit none = {.rlim_cur = (rlim_t)lowest, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(dial(starved), 0);
    assert_int_equal(expect_end(starved), 0); /* told by a close */
    command(waiting, "c");
    expect_text(waiting, "<copied>");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    int fd = client();
    command(fd, "c");
    expect_text(fd, "<copied>");
    close(fd);
    close(waiting);
}

static void bad_addresses_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           ":8080",          "127.0.0.1",
                                      "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000",
                                      "[::1:80",    "300.1.1.1:80"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct listener *l = NULL;
        struct listener_options options = options_for(bad[i]);
        assert_int_equal(listener_open(t.group, &options, &l), ERR_USAGE);
        assert_non_null(strstr(err_last()->text, bad[i]));
    }
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    struct listener *l = NULL;
    struct listener_options options = options_for(listener_address(t.listener));
    assert_int_equal(listener_open(t.group, &options, &l), ERR_IO);
    assert_non_null(strstr(err_last()->text, listener_address(t.listener)));
    assert_non_null(strstr(err_last()->text, "in use"));
}

static void a_stopped_listener_frees_its_port(void **state)
{
    (void)state;
    struct listener *l = NULL;
    struct listener_options options = options_for("127.0.0.1:0");
    assert_ok(listener_open(t.group, &options, &l));
    char *address = xstrdup(listener_address(l));
    for (int i = 0; i < 5; i++) {
        listener_stop(l);
        listener_close_all(l);
        listener_free(l);
        options.address = address;
        assert_ok(listener_open(t.group, &options, &l));
        assert_string_equal(listener_address(l), address);
    }
    listener_stop(l);
    listener_stop(l); /* again does nothing */
    listener_close_all(l);
    listener_free(l);
    free(address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_leaves_in_order_whatever_its_kind),
        cmocka_unit_test(a_large_file_is_sent_whole),
        cmocka_unit_test(what_was_not_sent_is_released_when_the_client_goes),
        cmocka_unit_test(a_file_that_ends_early_closes_the_connection),
        cmocka_unit_test(a_client_that_does_not_read_is_not_read_either),
        cmocka_unit_test(a_paused_connection_reads_nothing_until_resumed),
        cmocka_unit_test(deadlines_fire_once_unless_cancelled),
        cmocka_unit_test(closing_from_inside_a_callback_is_safe),
        cmocka_unit_test(closing_after_writing_sends_everything_first),
        cmocka_unit_test(a_connection_may_be_refused),
        cmocka_unit_test(every_reactor_gets_connections),
        cmocka_unit_test(running_out_of_descriptors_is_survived),
        cmocka_unit_test(bad_addresses_are_named),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_stopped_listener_frees_its_port),
    };
    return cmocka_run_group_tests_name("conn", tests, set_up, tear_down);
}
