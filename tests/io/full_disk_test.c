/* SPDX-License-Identifier: MIT */
/*
 * A full disk, a disk that cannot be written, and no descriptor left: clear errors, the exact count
 * of what was done, nothing lost and nothing left. On a small tmpfs; in the full tier on ext4 too.
 */
#include "disk.h"

#include <sys/resource.h>
#include <sys/statvfs.h>

enum { DISK_MIB = 16, DISK_BYTES = DISK_MIB * 1024 * 1024, BIG_WRITE = 4 * DISK_BYTES };

static long long free_bytes(void)
{
    struct statvfs disk;

    sync();
    CHECK_EQUAL(statvfs("disk", &disk), 0);
    return (long long)disk.f_bfree * (long long)disk.f_bsize;
}

static int count_names(const char *path)
{
    struct weir_directory_entry entry;
    struct weir_directory *directory;
    int count = 0;

    CHECK_EQUAL(weir_directory_open(&directory, AT_FDCWD, path, WEIR_FOREVER), 0);
    while (weir_directory_next(directory, &entry, WEIR_FOREVER) == 1)
        count += strcmp(entry.name, "lost+found") != 0;
    weir_directory_close(directory);
    return count;
}

static bool holds(int fd, const char *content, size_t bytes)
{
    char *copy = malloc(bytes);
    bool same = weir_pread_all(fd, copy, bytes, 0, NULL, WEIR_FOREVER) == (ssize_t)bytes &&
                memcmp(copy, content, bytes) == 0;

    free(copy);
    return same;
}

/* As much as there was room for, told exactly. */
static void check_write(const char *content)
{
    int fd = weir_openat(AT_FDCWD, "disk/file", O_CREAT | O_RDWR, 0600, WEIR_FOREVER);
    size_t done_bytes = 0;
    struct stat file;

    CHECK_EQUAL(weir_pwrite_all(fd, content, BIG_WRITE, 0, &done_bytes, WEIR_FOREVER), -ENOSPC);
    CHECK(done_bytes > DISK_BYTES / 2);
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK_EQUAL(file.st_size, done_bytes);
    CHECK(holds(fd, content, done_bytes));
    CHECK_EQUAL(weir_fallocate(fd, 0, 0, BIG_WRITE, WEIR_FOREVER), -ENOSPC);
    CHECK(holds(fd, content, done_bytes));
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, "disk/file", 0, WEIR_FOREVER), 0);
}

static void check_copy(const char *content, const struct weir_copy_options *options)
{
    int source = weir_openat(AT_FDCWD, "source", O_RDONLY, 0, WEIR_FOREVER);
    int target = weir_openat(AT_FDCWD, "disk/copy", O_CREAT | O_RDWR, 0600, WEIR_FOREVER);
    uint64_t copied = 0;
    struct stat file;

    CHECK_EQUAL(weir_copy(source, 0, target, 0, WEIR_COPY_ALL, options, &copied, WEIR_FOREVER),
                -ENOSPC);
    CHECK(copied > DISK_BYTES / 2);
    CHECK_EQUAL(fstat(target, &file), 0);
    CHECK_EQUAL(file.st_size, copied);
    CHECK(holds(target, content, copied));
    CHECK_EQUAL(weir_close(source), 0);
    CHECK_EQUAL(weir_close(target), 0);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, "disk/copy", 0, WEIR_FOREVER), 0);
}

/* The old content stays, and no part of the new. */
static void check_whole(const char *content)
{
    char *found = NULL;

    CHECK_EQUAL(weir_write_file(AT_FDCWD, "disk/state", "old", 3, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "disk/state", content, BIG_WRITE, NULL, WEIR_FOREVER),
                -ENOSPC);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, "disk/state", 100, &found, WEIR_FOREVER), 3);
    CHECK_EQUAL(strcmp(found, "old"), 0);
    weir_unload_file(found);
    CHECK_EQUAL(count_names("disk"), 1);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, "disk/state", 0, WEIR_FOREVER), 0);
}

static int full_body(void *arg)
{
    const struct weir_copy_options plain = { .plain = true };
    char *content = pattern_block(BIG_WRITE);
    long long free_at_start = free_bytes();
    int source = plain_open("source", O_CREAT | O_RDWR);

    (void)arg;
    CHECK_EQUAL(write(source, content, BIG_WRITE), BIG_WRITE);
    plain_close(source);
    for (int round = 0; round < 2; round++) {
        check_write(content);
        check_copy(content, NULL);
        check_copy(content, &plain);
        check_whole(content);
    }
    CHECK_EQUAL(count_names("disk"), 0);
    CHECK(free_at_start - free_bytes() < DISK_BYTES / 16); /* nothing without a name is left */
    free(content);
    return 0;
}

static void run_full(void)
{
    int fd_count = count_fds();

    assert_int_equal(test_run(full_body, NULL, &one_loop), 0);
    assert_int_equal(count_fds(), fd_count);
}

static void test_full_memory(void **state)
{
    (void)state;
    if (!mount_memory("disk", "size=16m")) {
        print_message("skipped: mounts are refused\n");
        skip();
    }
    run_full();
}

static void test_full_ext4(void **state)
{
    (void)state;
    if (test_tier() == TEST_FAST)
        return;
    if (!mount_disk("ext4", "disk", DISK_MIB)) {
        print_message("skipped: no mkfs.ext4, or loop mounts are refused\n");
        skip();
    }
    run_full();
}

static int read_only_body(void *arg)
{
    char name[] = "disk/x-XXXXXX";

    (void)arg;
    CHECK_EQUAL(weir_openat(AT_FDCWD, "disk/x", O_CREAT | O_RDWR, 0600, WEIR_FOREVER), -EROFS);
    CHECK_EQUAL(weir_mkdirat(AT_FDCWD, "disk/x", 0700, WEIR_FOREVER), -EROFS);
    CHECK_EQUAL(weir_mkostemp(name, 0, WEIR_FOREVER), -EROFS);
    CHECK_EQUAL(weir_symlinkat("y", AT_FDCWD, "disk/x", WEIR_FOREVER), -EROFS);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "disk/x", "y", 1, NULL, WEIR_FOREVER), -EROFS);
    CHECK_EQUAL(weir_fchmodat(AT_FDCWD, "disk", 0700, 0, WEIR_FOREVER), -EROFS);
    CHECK_EQUAL(weir_setxattr("disk", "user.x", "y", 1, 0, 0, WEIR_FOREVER), -EROFS);
    CHECK_EQUAL(count_names("disk"), 0);
    return 0;
}

static void test_read_only(void **state)
{
    (void)state;
    if (!mount_memory("disk", "ro")) {
        print_message("skipped: mounts are refused\n");
        skip();
    }
    assert_int_equal(test_run(read_only_body, NULL, NULL), 0);
}

/* --- no descriptor left ----------------------------------------------------------------------- */

enum { FDS_MAX = 200 };

static int descriptors_body(void *arg)
{
    struct weir_directory *directory = arg;
    struct rlimit limit, small;
    char *content = NULL, name[] = "x-XXXXXX";
    int fds[FDS_MAX], count = 0;

    CHECK_EQUAL(weir_write_file(AT_FDCWD, "state", "old", 3, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    small = (struct rlimit){ FDS_MAX, limit.rlim_max };
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &small), 0);
    while (count < FDS_MAX && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        count++;
    CHECK_EQUAL(weir_openat(AT_FDCWD, "state", O_RDONLY, 0, WEIR_FOREVER), -EMFILE);
    CHECK_EQUAL(weir_openat(AT_FDCWD, "new", O_CREAT | O_RDWR, 0600, WEIR_FOREVER), -EMFILE);
    CHECK_EQUAL(weir_directory_open(&directory, AT_FDCWD, ".", WEIR_FOREVER), -EMFILE);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, "state", 10, &content, WEIR_FOREVER), -EMFILE);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "state", "new", 3, NULL, WEIR_FOREVER), -EMFILE);
    CHECK_EQUAL(weir_mkostemp(name, 0, WEIR_FOREVER), -EMFILE);
    CHECK_EQUAL(close(fds[--count]), 0); /* one is not enough for a directory and a file */
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "state", "new", 3, NULL, WEIR_FOREVER), -EMFILE);
    CHECK_EQUAL(weir_load_file(AT_FDCWD, "state", 10, &content, WEIR_FOREVER), 3);
    CHECK_EQUAL(strcmp(content, "old"), 0);
    weir_unload_file(content);
    while (count > 0)
        CHECK_EQUAL(close(fds[--count]), 0);
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "state", "new", 3, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(count_names("."), 1);
    return 0;
}

static void test_no_descriptor_left(void **state)
{
    int fd_count = count_fds();

    (void)state;
    assert_int_equal(test_run(descriptors_body, NULL, &one_loop), 0);
    assert_int_equal(count_fds(), fd_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DISK(test_full_memory),
        ON_DISK(test_full_ext4),
        ON_DISK(test_read_only),
        IN_FOLDER(test_no_descriptor_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
