/* SPDX-License-Identifier: MIT */
/*
 * Whole files. Writing one is tested by making each kernel call that it makes fail, be the moment
 * of a cancel, or last past the deadline: whatever happens, the old content or the new is there,
 * whole, and nothing else. The calls of base/kernel are wrapped for that by the linker (see
 * CMakeLists.txt).
 */
#include "fixture.h"

#include "base/kernel.h"

#include <dirent.h>
#include <time.h>

enum {
    CONTENT_BYTES = 4 * 1024 * 1024 + 17, /* two steps */
    CALLS_MAX = 12,                       /* more than any write makes */
    DEADLINE_MS = 50,
};

enum fault { NO_FAULT, FAIL_CALL, CANCEL_TASK, PASS_DEADLINE };

/* What befalls the `at`-th wrapped call from now on. */
static struct {
    enum fault fault;
    atomic_int left;
    struct weir_task *task;
    int64_t deadline_ns;
    bool no_tmpfile;   /* as on a file system without O_TMPFILE */
    bool no_noreplace; /* and without RENAME_NOREPLACE */
    atomic_int calls;
} plan;

/* Whether this call is the one. */
static bool is_struck(void)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    atomic_fetch_add(&plan.calls, 1);
    if (plan.fault == NO_FAULT || atomic_fetch_sub(&plan.left, 1) != 1)
        return false;
    if (plan.fault == CANCEL_TASK)
        CHECK(weir_task_cancel(plan.task) >= 0);
    while (plan.fault == PASS_DEADLINE && weir_now_ns() <= plan.deadline_ns)
        nanosleep(&moment, NULL);
    return plan.fault == FAIL_CALL;
}

/* A wrapped call: it fails with -EIO when struck. */
#define WRAP(type, name, parameters, arguments)                                                    \
    type __real_weir__kernel_##name parameters;                                                    \
    type __wrap_weir__kernel_##name parameters;                                                    \
    type __wrap_weir__kernel_##name parameters                                                     \
    {                                                                                              \
        return is_struck() ? -EIO : __real_weir__kernel_##name arguments;                          \
    }

/* clang-format off */
WRAP(int64_t, pwrite, (int fd, const void *buffer, size_t bytes, off_t offset),
     (fd, buffer, bytes, offset))
WRAP(int64_t, pwritev2, (int fd, const struct iovec *vectors, int count, off_t offset, int flags),
     (fd, vectors, count, offset, flags))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, linkat, (int source_dir_fd, const char *source, int target_dir_fd, const char *target,
                   int flags), (source_dir_fd, source, target_dir_fd, target, flags))
/* clang-format on */

int __real_weir__kernel_renameat2(int source_dir_fd, const char *source, int target_dir_fd,
                                  const char *target, unsigned flags);
int __wrap_weir__kernel_renameat2(int source_dir_fd, const char *source, int target_dir_fd,
                                  const char *target, unsigned flags);
int __wrap_weir__kernel_renameat2(int source_dir_fd, const char *source, int target_dir_fd,
                                  const char *target, unsigned flags)
{
    if (is_struck())
        return -EIO;
    if (plan.no_noreplace && flags)
        return -EINVAL;
    return __real_weir__kernel_renameat2(source_dir_fd, source, target_dir_fd, target, flags);
}

int __real_weir__kernel_openat(int dir_fd, const char *path, int flags, mode_t mode);
int __wrap_weir__kernel_openat(int dir_fd, const char *path, int flags, mode_t mode);
int __wrap_weir__kernel_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    if (plan.no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE)
        return -EOPNOTSUPP;
    return is_struck() ? -EIO : __real_weir__kernel_openat(dir_fd, path, flags, mode);
}

/* --- what is there ---------------------------------------------------------------------------- */

static char *old_content, *new_content;

static int count_names(void)
{
    DIR *folder = opendir(".");
    int count = 0;

    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 2;
}

static bool target_is(const char *content, size_t bytes)
{
    char *copy = malloc(CONTENT_BYTES + 1);
    int fd = open("target", O_RDONLY | O_CLOEXEC);
    ssize_t got = 0, more = 1;
    bool same;

    while (fd >= 0 && more > 0) {
        more = read(fd, copy + got, (size_t)(CONTENT_BYTES + 1 - got));
        got += more;
    }
    same = fd >= 0 && got == (ssize_t)bytes && memcmp(copy, content, bytes) == 0;
    if (fd >= 0)
        close(fd);
    free(copy);
    return same;
}

static void put_old(void)
{
    int fd = open("target", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

    CHECK_EQUAL(write(fd, old_content, 1000), 1000);
    CHECK_EQUAL(close(fd), 0);
}

/* --- faults ----------------------------------------------------------------------------------- */

static int64_t write_call(void *arg, int64_t deadline_ns)
{
    const struct weir_write_file_options options = { .only_new = arg != NULL };

    return weir_write_file(AT_FDCWD, "target", new_content, CONTENT_BYTES, &options, deadline_ns);
}

/* One write with a fault at its `at`-th call. Returns its result. */
static int64_t write_with(enum fault fault, int at, bool only_new)
{
    struct call call = call_of(write_call, only_new ? &plan : NULL);

    plan.fault = fault;
    atomic_store(&plan.left, at);
    atomic_store(&plan.calls, 0);
    call.deadline_ns = fault == PASS_DEADLINE ? weir_in_ms(DEADLINE_MS) : WEIR_FOREVER;
    plan.deadline_ns = call.deadline_ns;
    call_start(&call);
    plan.task = call.task;
    call_finish(&call);
    plan.fault = NO_FAULT;
    return call.result;
}

/* After a write that struck something: the old content or the new, and nothing else. Whether the
 * new is there although the call failed: only for the directory's own fsync. */
static bool check_after(int64_t result, bool had_old)
{
    bool is_new = target_is(new_content, CONTENT_BYTES);

    if (result == 0)
        CHECK(is_new);
    else if (!is_new && had_old)
        CHECK(target_is(old_content, 1000));
    else if (!is_new)
        CHECK(access("target", F_OK) < 0);
    CHECK_EQUAL(count_names(), is_new || had_old ? 1 : 0);
    return is_new && result < 0;
}

/* The write that is struck by nothing, after the last call, succeeds: unless the disk is so slow
 * that its deadline passed by itself. */
static void strike_every_call(enum fault fault, bool had_old, int64_t error)
{
    int in_place_count = 0;
    int64_t result = 0;

    for (int at = 1; at <= CALLS_MAX; at++) {
        unlink("target");
        if (had_old)
            put_old();
        result = write_with(fault, at, !had_old);
        CHECK(atomic_load(&plan.calls) < CALLS_MAX);
        CHECK(result == 0 || result == error);
        in_place_count += check_after(result, had_old);
    }
    CHECK(result == 0 || fault == PASS_DEADLINE);
    CHECK_EQUAL(in_place_count, fault == FAIL_CALL ? 1 : 0);
}

static int fault_body(void *arg)
{
    int fd_count = count_fds();

    plan.no_tmpfile = arg != NULL;
    for (int had_old = 0; had_old < 2; had_old++) {
        strike_every_call(FAIL_CALL, had_old, -EIO);
        strike_every_call(CANCEL_TASK, had_old, -ECANCELED);
        if (!TEST_SANITIZED || test_tier() != TEST_FAST)
            strike_every_call(PASS_DEADLINE, had_old, -ETIME);
    }
    plan.no_tmpfile = false;
    CHECK_EQUAL(count_fds(), fd_count);
    return 0;
}

static int make_contents(void **state)
{
    old_content = pattern_block(1000);
    new_content = pattern_block(CONTENT_BYTES);
    new_content[0] = '!';
    return make_folder(state);
}

static int drop_contents(void **state)
{
    free(old_content);
    free(new_content);
    return remove_folder(state);
}

static void test_every_fault(void **state)
{
    (void)state;
    assert_int_equal(test_run(fault_body, NULL, &one_loop), 0);
}

static void test_every_fault_without_tmpfile(void **state)
{
    (void)state;
    assert_int_equal(test_run(fault_body, &plan, &one_loop), 0);
}

/* As on NFS, which can link but not rename without replacing. */
static int only_new_body(void *arg)
{
    const struct weir_write_file_options only_new = { .only_new = true };

    (void)arg;
    plan.no_tmpfile = plan.no_noreplace = true;
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "target", "one", 3, &only_new, WEIR_FOREVER), 0);
    CHECK(target_is("one", 3));
    CHECK_EQUAL(count_names(), 1);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "target", "two", 3, &only_new, WEIR_FOREVER), -EEXIST);
    CHECK(target_is("one", 3));
    CHECK_EQUAL(count_names(), 1);
    CHECK_EQUAL(unlink("target"), 0);
    strike_every_call(FAIL_CALL, false, -EIO);
    strike_every_call(CANCEL_TASK, false, -ECANCELED);
    plan.no_tmpfile = plan.no_noreplace = false;
    return 0;
}

static void test_only_new_where_renames_replace(void **state)
{
    (void)state;
    assert_int_equal(test_run(only_new_body, NULL, &one_loop), 0);
}

/* --- the rest --------------------------------------------------------------------------------- */

static int write_body(void *arg)
{
    const struct weir_write_file_options only_new = { .only_new = true, .mode = 0640 };
    const struct weir_write_file_options loose = { .no_sync = true };
    struct stat file;

    (void)arg;
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "target", "one", 3, &only_new, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "target", "two", 3, &only_new, WEIR_FOREVER), -EEXIST);
    CHECK(target_is("one", 3));
    CHECK_EQUAL(stat("target", &file), 0);
    CHECK((file.st_mode & 07777) == 0640);
    CHECK_EQUAL(file.st_nlink, 1);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "./target", "", 0, NULL, WEIR_FOREVER), 0);
    CHECK(target_is("", 0));
    CHECK_EQUAL(unlink("target"), 0);
    CHECK_EQUAL(symlink("elsewhere", "target"), 0);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "target", "four", 4, &loose, WEIR_FOREVER), 0);
    CHECK(target_is("four", 4));
    CHECK_EQUAL(access("elsewhere", F_OK), -1);
    CHECK_EQUAL(count_names(), 1);
    return 0;
}

static void test_write(void **state)
{
    (void)state;
    umask(0);
    assert_int_equal(test_run(write_body, NULL, NULL), 0);
}

static int write_refusals_body(void *arg)
{
    const struct weir_write_file_options wrong = { .reserved = { 1 } }, sized = { .size = 3 };
    const struct weir_write_file_options mode = { .mode = S_IFDIR };
    static char name[300];

    (void)arg;
    memset(name, 'n', sizeof name - 1);
    CHECK_EQUAL(mkdir("folder", 0700), 0);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "x", "", 0, &wrong, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "x", "", 0, &sized, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "x", "", 0, &mode, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "x", NULL, 1, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, NULL, "", 0, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "", "", 0, NULL, WEIR_FOREVER), -ENOENT);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "folder/", "", 0, NULL, WEIR_FOREVER), -EISDIR);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "folder/..", "", 0, NULL, WEIR_FOREVER), -EISDIR);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "folder", "", 0, NULL, WEIR_FOREVER), -EISDIR);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "none/x", "", 0, NULL, WEIR_FOREVER), -ENOENT);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, name, "", 0, NULL, WEIR_FOREVER), -ENAMETOOLONG);
    CHECK_EQUAL(count_names(), 1);
    return 0;
}

static void test_write_refusals(void **state)
{
    (void)state;
    assert_int_equal(test_run(write_refusals_body, NULL, NULL), 0);
}

/* Reading: every size around every bound, and what claims no size. */
static void check_load(size_t bytes, size_t limit_bytes)
{
    char *content, *buffer = malloc(limit_bytes + 1);
    int fd = open("target", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    int64_t wanted = bytes > limit_bytes ? -EFBIG : (int64_t)bytes;

    CHECK_EQUAL(write(fd, new_content, bytes), bytes);
    CHECK_EQUAL(close(fd), 0);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, "target", limit_bytes, &content, WEIR_FOREVER), wanted);
    CHECK((content != NULL) == (wanted >= 0));
    if (content) {
        CHECK_EQUAL(memcmp(content, new_content, bytes), 0);
        CHECK_EQUAL(content[bytes], 0);
    }
    weir_unload_file(content);
    CHECK_EQUAL(weir_read_file(AT_FDCWD, "target", buffer, limit_bytes, WEIR_FOREVER), wanted);
    if (wanted >= 0)
        CHECK_EQUAL(memcmp(buffer, new_content, bytes), 0);
    free(buffer);
}

static int load_body(void *arg)
{
    const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 32768, 32769, 1000000 };
    const size_t count = sizeof sizes / sizeof sizes[0];
    char *content = NULL, text[16];

    (void)arg;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            check_load(sizes[i], sizes[j]);
    CHECK(weir_load_file(AT_FDCWD, "/proc/self/maps", 1 << 24, &content, WEIR_FOREVER) > 100);
    CHECK(strstr(content, "[stack]") != NULL);
    weir_unload_file(content);
    CHECK_EQUAL(weir_read_file(AT_FDCWD, "/proc/self/maps", text, sizeof text, WEIR_FOREVER),
                -EFBIG);
    CHECK_EQUAL(mkfifo("fifo", 0600), 0);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, "fifo", 10, &content, WEIR_FOREVER), -ESPIPE);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, ".", 10, &content, WEIR_FOREVER), -EISDIR);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, "none", 10, &content, WEIR_FOREVER), -ENOENT);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, "none", SIZE_MAX, &content, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, "none", 10, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_read_file(AT_FDCWD, "target", NULL, 10, WEIR_FOREVER), -EINVAL);
    return 0;
}

static void test_read(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(load_body, NULL, NULL), 0);
    assert_int_equal(count_fds(), fd_count);
}

#define WITH_CONTENTS(test) cmocka_unit_test_setup_teardown(test, make_contents, drop_contents)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CONTENTS(test_every_fault),
        WITH_CONTENTS(test_every_fault_without_tmpfile),
        WITH_CONTENTS(test_only_new_where_renames_replace),
        IN_FOLDER(test_write),
        IN_FOLDER(test_write_refusals),
        WITH_CONTENTS(test_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
