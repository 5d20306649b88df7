/* SPDX-License-Identifier: MIT */
/* Files: where each call runs, and what it returns. */
#include "fixture.h"

#include <limits.h>
#include <sys/uio.h>

/* --- the page cache --------------------------------------------------------------------------- */

static int hit_body(void *arg)
{
    char *block = pattern_block(BIG_BYTES), *copy = calloc(1, BIG_BYTES);
    int fd = pattern_file("file", O_RDONLY);
    enum weir__fd_kind kind = kind_of(fd);

    (void)arg;
    CHECK_EQUAL(pread(fd, copy, BIG_BYTES, 0), BIG_BYTES); /* now it is in the cache */
    memset(copy, 0, BIG_BYTES);
    CHECK_EQUAL(weir_pread(fd, copy, BIG_BYTES, 0, WEIR_FOREVER), BIG_BYTES);
    CHECK_EQUAL(memcmp(block, copy, BIG_BYTES), 0);
    CHECK_EQUAL(weir_pread(fd, copy, BLOCK_BYTES, BIG_BYTES - 7, WEIR_FOREVER), 7);
    CHECK_EQUAL(weir_pread(fd, copy, 1, BIG_BYTES, WEIR_FOREVER), 0);
    if (kind == WEIR__FD_DISK) {
        CHECK_EQUAL(routed(WEIR__OP_ID_PREAD, WEIR__ROUTE_INLINE), 3);
        CHECK_EQUAL(routed(WEIR__OP_ID_PREAD, WEIR__ROUTE_RING), 0);
    }
    CHECK_EQUAL(weir_close(fd), 0);
    free(block);
    free(copy);
    return kind == WEIR__FD_DISK ? 0 : NO_SUCH_DISK;
}

static void test_a_hit_is_inline(void **state)
{
    (void)state;
    if (test_run(hit_body, NULL, NULL) == NO_SUCH_DISK)
        skip();
}

static bool only_first_is_cached(int fd)
{
    unsigned char resident[4];
    char *map = mmap(NULL, sizeof resident * BLOCK_BYTES, PROT_READ, MAP_SHARED, fd, 0);

    CHECK(map != MAP_FAILED);
    CHECK_EQUAL(mincore(map, sizeof resident * BLOCK_BYTES, resident), 0);
    CHECK_EQUAL(munmap(map, sizeof resident * BLOCK_BYTES), 0);
    return (resident[0] & 1) && !(resident[1] & 1) && !(resident[2] & 1) && !(resident[3] & 1);
}

/* Leaves the first block in the cache, and no more. What is being read ahead cannot be dropped yet,
 * hence the tries. False when the file system does not do it at all. */
static bool cache_first_block(int fd)
{
    char byte;

    CHECK_EQUAL(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    for (int try = 0; try < 1000; try++) {
        CHECK_EQUAL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        CHECK_EQUAL(pread(fd, &byte, 1, 0), 1);
        if (only_first_is_cached(fd))
            return true;
    }
    return false;
}

/* The first try makes the kernel read ahead, so the second may find all of it at hand. */
static void read_partial_hits(int fd, const char *block, char *copy)
{
    struct iovec vectors[] = { { copy, 3 * BLOCK_BYTES }, { copy + 3 * BLOCK_BYTES, BLOCK_BYTES } };
    ssize_t got;

    memset(copy, 0, 4 * BLOCK_BYTES);
    CHECK(cache_first_block(fd));
    CHECK_EQUAL(weir_pread(fd, copy, 4 * BLOCK_BYTES, 0, WEIR_FOREVER), 4 * BLOCK_BYTES);
    CHECK_EQUAL(memcmp(block, copy, 4 * BLOCK_BYTES), 0);
    memset(copy, 0, 4 * BLOCK_BYTES);
    CHECK(cache_first_block(fd));
    CHECK_EQUAL(weir_preadv(fd, vectors, 2, 0, WEIR_FOREVER), 4 * BLOCK_BYTES);
    CHECK_EQUAL(memcmp(block, copy, 4 * BLOCK_BYTES), 0);
    CHECK(cache_first_block(fd)); /* a try gets what is there */
    CHECK(weir_pread(fd, copy, 4 * BLOCK_BYTES, 0, WEIR_NOW) >= BLOCK_BYTES);
    CHECK(cache_first_block(fd));
    got = weir_pread(fd, copy, BLOCK_BYTES, BLOCK_BYTES, WEIR_NOW);
    CHECK(got == -EAGAIN || got == BLOCK_BYTES);
}

static bool all_ways_taken(void)
{
    return routed(WEIR__OP_ID_PREAD, WEIR__ROUTE_RING) > 0 &&
           routed(WEIR__OP_ID_PREADV, WEIR__ROUTE_RING) > 0 &&
           stats_of(WEIR__OP_ID_PREAD).expired_count > 0;
}

static int miss_body(void *arg)
{
    char *block = pattern_block(BIG_BYTES), *copy = calloc(1, BIG_BYTES);
    int fd = pattern_file("file", O_RDONLY);
    bool usable = kind_of(fd) == WEIR__FD_DISK && cache_first_block(fd);

    (void)arg;
    for (int i = 0; usable && i < 1000 && (i < 20 || !all_ways_taken()); i++)
        read_partial_hits(fd, block, copy);
    CHECK(!usable || all_ways_taken());
    CHECK_EQUAL(weir_close(fd), 0);
    free(block);
    free(copy);
    return usable ? 0 : NO_SUCH_DISK;
}

static void test_a_partial_hit_goes_on_on_the_ring(void **state)
{
    (void)state;
    if (test_run(miss_body, NULL, NULL) == NO_SUCH_DISK)
        skip();
}

/* Whichever wins, the read or its deadline: all bytes, or -ETIME. */
static int race_body(void *arg)
{
    char *block = pattern_block(BIG_BYTES), *copy = pattern_block(BLOCK_BYTES);
    long rounds = test_rounds(300, 5000, 100000), won = 0;
    int fd = pattern_file("file", O_RDONLY | O_DIRECT);
    bool usable = kind_of(fd) == WEIR__FD_DIRECT;

    (void)arg;
    for (long i = 0; usable && i < rounds; i++) {
        off_t offset = i % (BIG_BYTES / BLOCK_BYTES) * BLOCK_BYTES;
        ssize_t got = weir_pread(fd, copy, BLOCK_BYTES, offset, weir_in_us(i % 150 + 1));

        CHECK(got == BLOCK_BYTES || got == -ETIME);
        if (got == BLOCK_BYTES) {
            CHECK_EQUAL(memcmp(copy, block + offset, BLOCK_BYTES), 0);
            won++;
        }
    }
    if (usable)
        CHECK((long)stats_of(WEIR__OP_ID_PREAD).expired_count == rounds - won);
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_NOW), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    free(block);
    free(copy);
    return usable ? 0 : NO_SUCH_DISK;
}

static void test_direct_reads_race_with_deadlines(void **state)
{
    (void)state;
    if (test_run(race_body, NULL, NULL) == NO_SUCH_DISK)
        skip();
}

/* --- the rest --------------------------------------------------------------------------------- */

static int all_body(void *arg)
{
    char *block = pattern_block(BIG_BYTES), *copy = calloc(1, BIG_BYTES);
    int fd = plain_open("file", O_CREAT | O_RDWR);
    int reader = plain_open("file", O_RDONLY);

    (void)arg;
    CHECK_EQUAL(weir_pwrite_all(fd, block, BIG_BYTES, 100, NULL, WEIR_FOREVER), BIG_BYTES);
    CHECK_EQUAL(weir_pread_all(fd, copy, BIG_BYTES, 100, NULL, WEIR_FOREVER), BIG_BYTES);
    CHECK_EQUAL(memcmp(block, copy, BIG_BYTES), 0);
    CHECK_EQUAL(weir_pread_all(fd, copy, BIG_BYTES, 200, NULL, WEIR_FOREVER), BIG_BYTES - 100);
    CHECK_EQUAL(weir_pread_all(fd, copy, 0, 0, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_pwrite_all(fd, block, 0, 0, NULL, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_pwrite_all(reader, block, 10, 0, NULL, WEIR_FOREVER), -EBADF);
    if (kind_of(fd) != WEIR__FD_MEMORY) /* which never waits */
        CHECK_EQUAL(weir_pwrite_all(fd, block, 10, 0, NULL, weir_now_ns()), -ETIME);
    CHECK_EQUAL(routed(WEIR__OP_ID_PWRITE, WEIR__ROUTE_RING),
                0); /* buffered: the pool, or memory */
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_close(reader), 0);
    free(block);
    free(copy);
    return 0;
}

static void test_all_forms(void **state)
{
    (void)state;
    assert_int_equal(test_run(all_body, NULL, NULL), 0);
}

static int names_body(void *arg)
{
    struct statx result;
    int fd = plain_open("one", O_CREAT | O_RDWR);

    (void)arg;
    CHECK_EQUAL(weir_ftruncate(fd, 1000, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_statx(AT_FDCWD, "one", 0, STATX_SIZE, &result, WEIR_FOREVER), 0);
    CHECK(result.stx_size == 1000);
    CHECK_EQUAL(weir_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &result, WEIR_FOREVER), 0);
    CHECK(result.stx_size == 1000);
    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_mkdirat(AT_FDCWD, "folder", 0700, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_renameat(AT_FDCWD, "one", AT_FDCWD, "folder/two", 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(access("folder/two", F_OK), 0);
    CHECK_EQUAL(
        weir_renameat(AT_FDCWD, "folder/two", AT_FDCWD, "folder", RENAME_NOREPLACE, WEIR_FOREVER),
        -EEXIST);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, "folder", AT_REMOVEDIR, WEIR_FOREVER), -ENOTEMPTY);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, "folder/two", 0, WEIR_FOREVER), 0);
    CHECK_EQUAL(weir_unlinkat(AT_FDCWD, "folder", AT_REMOVEDIR, WEIR_FOREVER), 0);
    CHECK_EQUAL(access("folder", F_OK), -1);
    CHECK_EQUAL(weir_close(fd), 0);
    return 0;
}

static void test_names_and_sizes(void **state)
{
    (void)state;
    assert_int_equal(test_run(names_body, NULL, NULL), 0);
}

static int flags_body(void *arg)
{
    char text[16] = "";
    struct iovec two = { (void *)"two", 3 }, all = { text, sizeof text };
    const int fds[] = { memory_file(), plain_open("flags", O_CREAT | O_RDWR) };

    (void)arg;
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        CHECK_EQUAL(weir_pwrite_all(fds[i], "one", 3, 0, NULL, WEIR_FOREVER), 3);
        CHECK_EQUAL(weir_pwritev2(fds[i], &two, 1, 0, RWF_APPEND | RWF_DSYNC, WEIR_FOREVER), 3);
        CHECK_EQUAL(weir_preadv2(fds[i], &all, 1, 0, RWF_NOWAIT, WEIR_FOREVER), 6);
        CHECK_EQUAL(strcmp(text, "onetwo"), 0);
        CHECK_EQUAL(weir_fallocate(fds[i], 0, 0, 1 << 20, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_fadvise(fds[i], 0, 0, POSIX_FADV_RANDOM, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_sync_file_range(fds[i], 0, 0, SYNC_FILE_RANGE_WRITE, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_ftruncate(fds[i], 2 << 20, WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_pwrite_all(fds[i], "end", 3, 2 << 20, NULL, WEIR_FOREVER), 3);
        CHECK_EQUAL(weir_lseek(fds[i], 1 << 20, SEEK_DATA, WEIR_FOREVER), 2 << 20);
        CHECK_EQUAL(weir_lseek(fds[i], 2 << 20, SEEK_HOLE, WEIR_FOREVER), (2 << 20) + 3);
        CHECK_EQUAL(weir_lseek(fds[i], 4 << 20, SEEK_DATA, WEIR_FOREVER), -ENXIO);
        CHECK_EQUAL(weir_syncfs(fds[i], WEIR_FOREVER), 0);
        CHECK_EQUAL(weir_close(fds[i]), 0);
        memset(text, 0, sizeof text);
    }
    return 0;
}

static void test_flags_and_advice(void **state)
{
    (void)state;
    assert_int_equal(test_run(flags_body, NULL, NULL), 0);
}

/* What is no file on a known disk is the pool's. */
static int elsewhere_body(void *arg)
{
    char text[64];
    int status = weir_openat(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, WEIR_FOREVER);
    int folder = weir_openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0, WEIR_FOREVER);
    int pair[2];

    (void)arg;
    CHECK_EQUAL(pipe2(pair, O_CLOEXEC), 0);
    known(pair[0]);
    known(pair[1]);
    CHECK_EQUAL(weir_pread(status, text, sizeof text, 0, WEIR_FOREVER), sizeof text);
    CHECK_EQUAL(strncmp(text, "Name:", 5), 0);
    CHECK_EQUAL(weir_pread(folder, text, sizeof text, 0, WEIR_FOREVER), -EISDIR);
    CHECK_EQUAL(weir_pread(pair[0], text, sizeof text, 0, WEIR_FOREVER), -ESPIPE);
    CHECK_EQUAL(weir_pwrite(pair[1], text, sizeof text, 0, WEIR_FOREVER), -ESPIPE);
    CHECK_EQUAL(routed(WEIR__OP_ID_PREAD, WEIR__ROUTE_POOL), 3);
    CHECK_EQUAL(weir_close(status), 0);
    CHECK_EQUAL(weir_close(folder), 0);
    CHECK_EQUAL(weir_close(pair[0]), 0);
    CHECK_EQUAL(weir_close(pair[1]), 0);
    return 0;
}

static void test_elsewhere_is_the_pools(void **state)
{
    (void)state;
    assert_int_equal(test_run(elsewhere_body, NULL, NULL), 0);
}

static int refusals_body(void *arg)
{
    struct iovec vector = { arg, 1 };
    int fd = memory_file();

    CHECK_EQUAL(weir_pread(fd, NULL, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pread(fd, arg, 1, -1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pread(fd, arg, (size_t)SSIZE_MAX + 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pwrite(fd, NULL, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_preadv(fd, NULL, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_preadv(fd, &vector, -1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_preadv(fd, &vector, IOV_MAX + 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pwritev(fd, &vector, 1, -1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_preadv2(fd, &vector, 1, 0, RWF_HIPRI, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_preadv2(fd, &vector, 1, 0, 1 << 30, WEIR_FOREVER), -EOPNOTSUPP);
    CHECK_EQUAL(weir_sync_file_range(fd, -1, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_fadvise(fd, 0, 0, 99, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_lseek(fd, 0, 99, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_fallocate(fd, 0, 0, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_fallocate(fd, 0, -1, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_ftruncate(fd, -1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_fsync(-1, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_pread(fd, arg, 1, 0, WEIR_FOREVER), -EBADF);
    return 0;
}

static int from_pool(void *arg)
{
    return (int)weir_pread(0, arg, 1, 0, WEIR_FOREVER);
}

static int pool_body(void *arg)
{
    CHECK_EQUAL(weir_pool_run(from_pool, arg, WEIR_FOREVER), -ENXIO);
    return 0;
}

static void test_refusals(void **state)
{
    char byte;

    (void)state;
    assert_int_equal(test_run(refusals_body, &byte, NULL), 0);
    assert_int_equal(test_run(pool_body, &byte, NULL), 0);
    assert_int_equal(weir_pread(0, &byte, 1, 0, WEIR_FOREVER), -ENXIO);
    assert_int_equal(weir_openat(AT_FDCWD, ".", O_RDONLY, 0, WEIR_FOREVER), -ENXIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_a_hit_is_inline),
        IN_FOLDER(test_a_partial_hit_goes_on_on_the_ring),
        IN_FOLDER(test_direct_reads_race_with_deadlines),
        IN_FOLDER(test_all_forms),
        IN_FOLDER(test_names_and_sizes),
        IN_FOLDER(test_flags_and_advice),
        IN_FOLDER(test_elsewhere_is_the_pools),
        IN_FOLDER(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
