/* SPDX-License-Identifier: MIT */
/* Directories: every entry once, through many batches, whatever interrupts between them. */
#include "fixture.h"

#include <dirent.h>

enum { FILES = 3000 };

static void make_files(int count)
{
    for (int i = 0; i < count; i++) {
        char name[64];

        snprintf(name, sizeof name, "a-rather-long-name-so-that-batches-are-many-%d", i);
        CHECK_EQUAL(mknod(name, S_IFREG | 0600, 0), 0);
    }
}

/* The number at the end of a name. */
static int number_of(const char *name)
{
    return atoi(strrchr(name, '-') + 1);
}

/* Counts all entries, each once. Now and then a call has no time. */
static void read_all(struct weir_directory *directory, bool hurried)
{
    static bool seen[FILES];
    struct weir_directory_entry entry;
    int count = 0, result;

    memset(seen, 0, sizeof seen);
    while (true) {
        int64_t deadline_ns = hurried && count % 2 ? WEIR_NOW : WEIR_FOREVER;

        result = weir_directory_next(directory, &entry, deadline_ns);
        if (result == -EAGAIN && deadline_ns == WEIR_NOW)
            result = weir_directory_next(directory, &entry, WEIR_FOREVER);
        if (result != 1)
            break;
        CHECK(!seen[number_of(entry.name)]);
        seen[number_of(entry.name)] = true;
        CHECK(entry.type == DT_REG || entry.type == DT_UNKNOWN);
        CHECK(entry.inode != 0);
        count++;
    }
    CHECK_EQUAL(result, 0);
    CHECK_EQUAL(count, FILES);
    CHECK_EQUAL(weir_directory_next(directory, &entry, WEIR_FOREVER), 0);
}

static int all_body(void *arg)
{
    struct weir_directory *directory;

    (void)arg;
    make_files(FILES);
    CHECK_EQUAL(weir_directory_open(&directory, AT_FDCWD, ".", WEIR_FOREVER), 0);
    read_all(directory, false);
    CHECK(routed(WEIR__OP_ID_GETDENTS, WEIR__ROUTE_POOL) > 3);
    CHECK_EQUAL(weir_directory_rewind(directory, WEIR_FOREVER), 0);
    read_all(directory, true);
    weir_directory_close(directory);
    return 0;
}

static void test_every_entry_once(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(all_body, NULL, NULL), 0);
    assert_int_equal(count_fds(), fd_count);
}

static int64_t next_call(void *arg, int64_t deadline_ns)
{
    struct weir_directory_entry entry;

    CHECK_EQUAL(weir_task_cancel(weir_task_self()), 0);
    while (weir_yield() == 0)
        ;
    return weir_directory_next(arg, &entry, deadline_ns);
}

/* A task that is cancelled leaves the handle as it was, and can close it. */
static int cancel_body(void *arg)
{
    struct weir_directory_entry entry;
    struct weir_directory *directory;
    struct call call;

    (void)arg;
    make_files(1);
    CHECK_EQUAL(weir_directory_open(&directory, AT_FDCWD, ".", WEIR_FOREVER), 0);
    call = call_of(next_call, directory);
    call_start(&call);
    CHECK_EQUAL(call_finish(&call), -ECANCELED);
    CHECK_EQUAL(weir_directory_next(directory, &entry, WEIR_FOREVER), 1);
    CHECK_EQUAL(weir_directory_next(directory, &entry, WEIR_FOREVER), 0);
    CHECK(weir_directory_fd(directory) >= 0);
    weir_directory_close(directory);
    return 0;
}

static void test_a_cancel_loses_nothing(void **state)
{
    (void)state;
    assert_int_equal(test_run(cancel_body, NULL, NULL), 0);
}

static int refusals_body(void *arg)
{
    struct weir_directory *directory = arg;
    struct weir_directory_entry entry;

    make_files(1);
    CHECK_EQUAL(weir_directory_open(NULL, AT_FDCWD, ".", WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_directory_open(&directory, AT_FDCWD, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_directory_open(&directory, AT_FDCWD, "none", WEIR_FOREVER), -ENOENT);
    CHECK(directory == NULL);
    CHECK_EQUAL(weir_directory_open(&directory, AT_FDCWD,
                                    "a-rather-long-name-so-that-batches-are-many-0", WEIR_FOREVER),
                -ENOTDIR);
    CHECK_EQUAL(weir_directory_next(NULL, &entry, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_directory_rewind(NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_directory_fd(NULL), -EINVAL);
    weir_directory_close(NULL);
    return 0;
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(test_run(refusals_body, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_every_entry_once),
        IN_FOLDER(test_a_cancel_loses_nothing),
        IN_FOLDER(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
