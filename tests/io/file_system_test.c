/* SPDX-License-Identifier: MIT */
/*
 * Routes, file system by file system: what is found for each, that every byte is right whichever
 * way it went, and that no thread of the kernel's own comes in. Disks are made in files, and only
 * in the full tier.
 */
#include "disk.h"

enum { BLOCKS = 512, FILE_BYTES = BLOCKS * BLOCK_BYTES };

/* What is expected of a file system. */
struct expected {
    const char *name;
    const char *kind;
    const char *read_route;
    bool hits_inline; /* a read from the page cache is answered at once */
    bool has_direct;
    bool says_alignment;
    bool
        overwrites_on_ring; /* of blocks that are there, direct; else the pool, after a few tries */
};

static const struct expected ext4 = { "ext4", "disk", "cache, then ring", true, true, true, true };
static const struct expected xfs = { "xfs", "disk", "cache, then ring", true, true, true, false };
static const struct expected btrfs = {
    "btrfs", "disk", "cache, then ring", true, true, false, false
};
static const struct expected overlay = {
    "overlay", "elsewhere", "pool", false, false, false, false
};
static const struct expected memory = { "tmpfs", "memory", "inline", true, false, false, false };
static const struct expected proc = { "proc", "elsewhere", "pool", false, false, false, false };

static void check_kind(int fd, const struct expected *expected)
{
    struct weir_description about;

    CHECK_EQUAL(weir_describe(fd, &about, WEIR_FOREVER), 0);
    if (!CHECK(strcmp(about.kind, expected->kind) == 0) ||
        !CHECK(strcmp(about.file_system, expected->name) == 0) ||
        !CHECK(strcmp(about.read_route, expected->read_route) == 0))
        print_error("%s on %s, reads %s\n", about.kind, about.file_system, about.read_route);
}

/* A file read in small parts, from cold to warm. */
static void check_reads(const struct expected *expected, const char *content)
{
    int fd = weir_openat(AT_FDCWD, "disk/file", O_RDONLY, 0, WEIR_FOREVER);
    struct weir_op_stats before = stats_of(WEIR__OP_ID_PREAD), after;
    char *copy = malloc(FILE_BYTES);

    check_kind(fd, expected);
    CHECK_EQUAL(weir_fadvise(fd, 0, 0, POSIX_FADV_RANDOM, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED, WEIR_FOREVER), 0);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < BLOCKS; i++) {
            off_t offset = (off_t)(i * 37 % BLOCKS) * BLOCK_BYTES;

            CHECK_EQUAL(weir_pread(fd, copy + offset, BLOCK_BYTES, offset, WEIR_FOREVER),
                        BLOCK_BYTES);
            CHECK_EQUAL(memcmp(copy + offset, content + offset, BLOCK_BYTES), 0);
        }
    after = stats_of(WEIR__OP_ID_PREAD);
    if (expected->hits_inline)
        CHECK(after.inline_count - before.inline_count >= (uint64_t)BLOCKS);
    else
        CHECK(after.pool_count - before.pool_count == 2 * (uint64_t)BLOCKS);
    CHECK_EQUAL(weir_close(fd), 0);
    free(copy);
}

static void check_direct(const struct expected *expected)
{
    int fd = weir_openat(AT_FDCWD, "disk/file", O_RDWR | O_DIRECT, 0, WEIR_FOREVER);
    struct weir_op_stats reads = stats_of(WEIR__OP_ID_PREAD), writes = stats_of(WEIR__OP_ID_PWRITE);
    char *block = weir_direct_alloc(BLOCK_BYTES);
    struct weir_description about;

    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED, WEIR_FOREVER), 0);
    for (int i = 0; i < BLOCKS; i++) {
        off_t offset = (off_t)i * BLOCK_BYTES;

        CHECK_EQUAL(weir_pread(fd, block, BLOCK_BYTES, offset, WEIR_FOREVER), BLOCK_BYTES);
        CHECK_EQUAL(weir_pwrite(fd, block, BLOCK_BYTES, offset, WEIR_FOREVER), BLOCK_BYTES);
    }
    CHECK(stats_of(WEIR__OP_ID_PREAD).ring_count - reads.ring_count >= (uint64_t)BLOCKS * 9 / 10);
    CHECK(stats_of(WEIR__OP_ID_PWRITE).refused_count - writes.refused_count <=
          (uint64_t)BLOCKS / 10 + 10);
    CHECK_EQUAL(weir_describe(fd, &about, WEIR_FOREVER), 0);
    CHECK_EQUAL(about.memory_bytes > 0, expected->says_alignment);
    print_message("%s: direct aligned to %u and %u, %u of %u writes refused\n", expected->name,
                  about.memory_bytes, about.offset_bytes, about.direct_writes_refused,
                  about.direct_writes);
    if (expected->overwrites_on_ring)
        CHECK_EQUAL(strcmp(about.write_route, "ring"), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    weir_direct_free(block);
}

static int disk_body(void *arg)
{
    const struct expected *expected = arg;
    char *content = pattern_block(FILE_BYTES), *copy = malloc(FILE_BYTES);
    int workers = count_kernel_workers();
    int fd = weir_openat(AT_FDCWD, "disk/file", O_CREAT | O_RDWR, 0600, WEIR_FOREVER), target;

    CHECK_EQUAL(weir_pwrite_all(fd, content, FILE_BYTES, 0, NULL, WEIR_FOREVER), FILE_BYTES);
    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), 0);
    check_reads(expected, content);
    if (expected->has_direct)
        check_direct(expected);
    target = weir_openat(AT_FDCWD, "disk/copy", O_CREAT | O_RDWR, 0600, WEIR_FOREVER);
    CHECK_EQUAL(weir_copy(fd, 0, target, 0, WEIR_COPY_ALL, NULL, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_pread_all(target, copy, FILE_BYTES, 0, NULL, WEIR_FOREVER), FILE_BYTES);
    CHECK_EQUAL(memcmp(copy, content, FILE_BYTES), 0);
    CHECK_EQUAL(weir_write_file(AT_FDCWD, "disk/whole", content, 10, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_close(target), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(count_kernel_workers(), workers);
    free(content);
    free(copy);
    return 0;
}

static void run_disk(const struct expected *expected, unsigned mib)
{
    if (test_tier() == TEST_FAST)
        return;
    if (!mount_disk(expected->name, "disk", mib)) {
        print_message("skipped: no mkfs.%s, or loop mounts are refused\n", expected->name);
        skip();
    }
    assert_int_equal(test_run(disk_body, (void *)expected, &one_loop), 0);
}

static void test_ext4(void **state)
{
    (void)state;
    run_disk(&ext4, 64);
}

static void test_xfs(void **state)
{
    (void)state;
    run_disk(&xfs, 320);
}

static void test_btrfs(void **state)
{
    (void)state;
    run_disk(&btrfs, 128);
}

static void test_memory(void **state)
{
    (void)state;
    if (!mount_memory("disk", "size=32m")) {
        print_message("skipped: mounts are refused\n");
        skip();
    }
    assert_int_equal(test_run(disk_body, (void *)&memory, &one_loop), 0);
}

/* Overlay's files refuse reads that may not wait (-EOPNOTSUPP, up to 6.18 at least): the pool. */
static void test_overlay(void **state)
{
    (void)state;
    if (!mount_memory("layers", NULL) || mkdir("layers/lower", 0700) < 0 ||
        mkdir("layers/upper", 0700) < 0 || mkdir("layers/work", 0700) < 0 ||
        mkdir("disk", 0700) < 0 ||
        mount("overlay", "disk", "overlay", 0,
              "lowerdir=layers/lower,upperdir=layers/upper,workdir=layers/work") < 0) {
        print_message("skipped: mounts are refused\n");
        skip();
    }
    assert_int_equal(test_run(disk_body, (void *)&overlay, &one_loop), 0);
}

/* What no descriptor of its kind has, and what has none. */
static int others_body(void *arg)
{
    int fd = weir_openat(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, WEIR_FOREVER), pair[2];
    struct weir_description about;

    (void)arg;
    check_kind(fd, &proc);
    CHECK_EQUAL(weir_close(fd), 0);
    make_pair(pair);
    CHECK_EQUAL(weir_describe(pair[0], &about, WEIR_FOREVER), 0);
    CHECK_EQUAL(strcmp(about.kind, "socket"), 0);
    CHECK_EQUAL(strcmp(about.file_system, ""), 0);
    CHECK_EQUAL(strcmp(about.read_route, "none"), 0);
    CHECK_EQUAL(about.in_flight, 0);
    CHECK_EQUAL(weir_describe(pair[0], NULL, WEIR_FOREVER), -EINVAL);
    plain_close(pair[0]);
    plain_close(pair[1]);
    CHECK_EQUAL(weir_describe(pair[0], &about, WEIR_FOREVER), -EBADF);
    return 0;
}

static void test_others(void **state)
{
    (void)state;
    assert_int_equal(test_run(others_body, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DISK(test_ext4),   ON_DISK(test_xfs),     ON_DISK(test_btrfs),
        ON_DISK(test_memory), ON_DISK(test_overlay), IN_FOLDER(test_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
