/* SPDX-License-Identifier: MIT */
/*
 * The runtime's own calls are silent: a program that does a little of everything, on two loops, is
 * checked, and nothing is reported. What may block runs on the pool, where nobody looks.
 */
#include "blocking.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOPS = 2, CLIENTS = 8, ROUNDS = 50, BYTES = 3000, ELEMENTS = 1000, WAIT_S = 30 };

static struct notes notes;
static char folder[] = "/tmp/weir-silence-XXXXXX";

static int64_t soon(void)
{
    return weir_in_seconds(WAIT_S);
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static int serve_client(int fd, void *context)
{
    struct weir_stream *stream;
    char bytes[BYTES];
    ssize_t count;

    (void)context;
    if (!CHECK(weir_stream_open(&stream, fd, NULL) == 0))
        return weir_close(fd);
    while ((count = weir_stream_read(stream, bytes, sizeof bytes, soon())) > 0)
        CHECK_EQUAL(weir_stream_write(stream, bytes, (size_t)count, soon()), count);
    return weir_stream_close(stream, soon());
}

static int serve(void *arg)
{
    return weir_listener_serve(arg, serve_client, NULL);
}

static int ask(void *arg)
{
    char sent[BYTES] = { 'a' }, received[BYTES];
    int fd = weir_dial(arg, NULL, soon());

    if (!CHECK(fd >= 0))
        return fd;
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EQUAL(weir_send_all(fd, sent, BYTES, 0, NULL, soon()), BYTES);
        CHECK_EQUAL(weir_recv_all(fd, received, BYTES, 0, NULL, soon()), BYTES);
        CHECK(memcmp(sent, received, BYTES) == 0);
    }
    return weir_close(fd);
}

static void use_sockets(void)
{
    struct weir_listener_options options = { .spread = WEIR_LISTENER_PER_LOOP };
    struct weir_spawn_options anywhere = { .place = WEIR_PLACE_ANYWHERE };
    struct weir_scope *servers, *clients;
    struct weir_listener *listener;
    char address[64];

    CHECK_EQUAL(weir_listener_open(&listener, "127.0.0.1:0", &options), 0);
    CHECK(weir_listener_address(listener, 0, address, sizeof address) > 0);
    CHECK_EQUAL(weir_scope_create(&servers, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_EQUAL(weir_scope_create(&clients, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_EQUAL(weir_spawn(servers, serve, listener, NULL), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQUAL(weir_spawn(clients, ask, address, &anywhere), 0);
    CHECK_EQUAL(weir_scope_join(clients, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_listener_stop(listener, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_scope_join(servers, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_listener_close(listener), 0);
}

/* --- Files ------------------------------------------------------------------------------------ */

static void use_file(int dir)
{
    int flags = O_RDWR | O_CREAT | O_CLOEXEC;
    int fd = weir_openat(dir, "file", flags, 0600, soon());
    char bytes[BYTES] = { 'f' };

    CHECK(fd >= 0);
    CHECK_EQUAL(weir_pwrite_all(fd, bytes, BYTES, 0, NULL, soon()), BYTES);
    CHECK_EQUAL(weir_fsync(fd, soon()), 0);
    CHECK_EQUAL(weir_pread_all(fd, bytes, BYTES, 0, NULL, soon()), BYTES);
    CHECK_EQUAL(weir_flock(fd, LOCK_EX, soon()), 0);
    CHECK_EQUAL(weir_flock(fd, LOCK_UN, soon()), 0);
    CHECK_EQUAL(weir_ftruncate(fd, 10, soon()), 0);
    CHECK_EQUAL(weir_close(fd), 0);
}

static void use_names(int dir)
{
    struct weir_directory_entry entry;
    struct weir_directory *directory;
    char bytes[16];
    int count = 0;

    CHECK_EQUAL(weir_renameat(dir, "file", dir, "other", 0, soon()), 0);
    CHECK_EQUAL(weir_write_file(dir, "file", "whole", 5, NULL, soon()), 0);
    CHECK_EQUAL(weir_read_file(dir, "file", bytes, sizeof bytes, soon()), 5);
    CHECK_EQUAL(weir_directory_open(&directory, dir, ".", soon()), 0);
    while (weir_directory_next(directory, &entry, soon()) > 0)
        count++;
    CHECK(count >= 2);
    weir_directory_close(directory);
    CHECK_EQUAL(weir_unlinkat(dir, "file", 0, soon()), 0);
    CHECK_EQUAL(weir_unlinkat(dir, "other", 0, soon()), 0);
}

static void use_files(void)
{
    int dir = weir_openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, soon());

    CHECK(dir >= 0);
    use_file(dir);
    use_names(dir);
    CHECK_EQUAL(weir_close(dir), 0);
}

/* --- Tasks, time, the pool, names, processes -------------------------------------------------- */

static int send_all(void *arg)
{
    for (int i = 0; i < ELEMENTS; i++)
        CHECK_EQUAL(weir_chan_send(arg, &i, WEIR_FOREVER), 0);
    return 0;
}

static void use_channels(void)
{
    struct weir_spawn_options other_loop = { .place = WEIR_PLACE_LOOP, .loop_index = 1 };
    struct weir_scope *scope;
    struct weir_chan *chan;
    int element;

    CHECK_EQUAL(weir_chan_create(&chan, sizeof element, 4, NULL), 0);
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    CHECK_EQUAL(weir_spawn(scope, send_all, chan, &other_loop), 0);
    for (int i = 0; i < ELEMENTS; i++) {
        struct weir_clause clauses[] = {
            weir_clause_recv(chan, &element),
            weir_clause_timer(soon()),
        };

        CHECK_EQUAL(weir_select(clauses, 2, 0, WEIR_FOREVER), 0);
        CHECK_EQUAL(element, i);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_chan_release(chan), 0);
}

static int block(void *arg)
{
    (void)arg;
    return usleep(100);
}

static void use_pool(void)
{
    struct weir_pool_stats stats;

    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQUAL(weir_pool_run(block, NULL, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_cpu_run(block, NULL, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_pool_read_stats(&stats), 0);
        CHECK_EQUAL(weir_sleep(weir_in_us(100)), 0);
    }
}

static void use_outside(void)
{
    static const char *const arguments[] = { "sh", "-c", "exit 5", NULL };
    struct weir_child_options options = { .argv = arguments };
    struct weir_resolved found[8];
    int status = 0;

    CHECK(weir_resolve("localhost", "80", NULL, found, 8, soon()) > 0);
    CHECK(weir_resolve("no such name.invalid", NULL, NULL, found, 8, soon()) < 0);
    CHECK_EQUAL(weir_child_run(&options, NULL, &status, soon()), 0);
    CHECK_EQUAL(WEXITSTATUS(status), 5);
}

static int use_everything(void *arg)
{
    (void)arg;
    use_sockets();
    use_files();
    use_channels();
    use_pool();
    use_outside();
    return 0;
}

static void run_silently(const char *what)
{
    struct weir_options options = checked_options(&notes);

    options.loop_count = LOOPS;
    assert_int_equal(test_run(use_everything, NULL, &options), 0);
    if (notes.count)
        print_message("%s:\n", what);
    print_notes(&notes);
    assert_int_equal(notes.count, 0);
}

static void test_the_runtime_is_silent(void **state)
{
    (void)state;
    need_check();
    for (long i = 0; i < test_rounds(2, 20, 200); i++)
        run_silently("checked");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_runtime_is_silent),
    };

    (void)argc;
    return run_both_ways(cmocka_run_group_tests(tests, make_folder, drop_folder), argv[0]);
}
