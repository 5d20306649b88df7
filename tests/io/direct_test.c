/* SPDX-License-Identifier: MIT */
/*
 * Direct I/O: alignment is asked and checked, what the ring refuses is done by the pool and
 * rerouted when it is too much, and no thread of the kernel's own ever comes in.
 */
#include "disk.h"

#include <sys/uio.h>

enum { BLOCKS = 256, FILE_BYTES = BLOCKS * BLOCK_BYTES };

/* A file for direct I/O with all its blocks written; -1 where there is none. */
static int direct_file(const char *path, int flags)
{
    char *content = weir_direct_alloc(FILE_BYTES);
    int fd = plain_open(path, O_CREAT | O_RDWR | O_TRUNC);

    memset(content, 'o', FILE_BYTES);
    CHECK_EQUAL(write(fd, content, FILE_BYTES), FILE_BYTES);
    CHECK_EQUAL(fsync(fd), 0);
    CHECK_EQUAL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    plain_close(fd);
    weir_direct_free(content);
    fd = weir_openat(AT_FDCWD, path, O_RDWR | O_DIRECT | flags, 0, WEIR_FOREVER);
    if (fd >= 0 && weir__descriptor_kind(fd) == WEIR__FD_DIRECT)
        return fd;
    if (fd >= 0)
        CHECK_EQUAL(weir_close(fd), 0);
    return -1;
}

static void check_description(int fd, const char *write_route)
{
    struct weir_description about;

    CHECK_EQUAL(weir_describe(fd, &about, WEIR_FOREVER), 0);
    CHECK_EQUAL(strcmp(about.kind, "direct"), 0);
    if (!CHECK(strcmp(about.write_route, write_route) == 0))
        print_error("%s: %u of %u writes refused\n", about.write_route, about.direct_writes_refused,
                    about.direct_writes);
}

/* --- alignment -------------------------------------------------------------------------------- */

static void check_misfits(int fd, char *block, unsigned memory_bytes, unsigned offset_bytes)
{
    struct iovec vector = { block + 1, offset_bytes };
    long long ring = routed(WEIR__OP_ID_PREAD, WEIR__ROUTE_RING);
    bool checked = weir_direct_explain(fd, block, 1, 0) != NULL;

    CHECK_EQUAL(weir_pread(fd, block, offset_bytes, 1, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pread(fd, block, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pwrite(fd, block, offset_bytes + 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pwrite(fd, block + 1, offset_bytes, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_preadv(fd, &vector, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_pwritev(fd, &vector, 1, 0, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(routed(WEIR__OP_ID_PREAD, WEIR__ROUTE_RING) - ring, checked ? 0 : 2);
    CHECK_EQUAL(weir_pread(fd, block + memory_bytes, offset_bytes, offset_bytes, WEIR_FOREVER),
                offset_bytes);
}

static void check_explained(int fd, const char *block, unsigned bytes)
{
    CHECK(strstr(weir_direct_explain(fd, block + 1, bytes, 0), "address") != NULL);
    CHECK(strstr(weir_direct_explain(fd, block, bytes, 1), "offset") != NULL);
    CHECK(strstr(weir_direct_explain(fd, block, bytes + 1, 0), "length") != NULL);
    CHECK(weir_direct_explain(fd, block, bytes, bytes) == NULL);
}

static int alignment_body(void *arg)
{
    struct weir_direct_alignment alignment;
    int fd = direct_file("direct", 0);
    char *block = weir_direct_alloc(2 * BLOCK_BYTES);

    if (fd < 0)
        return NO_SUCH_DISK;
    CHECK_EQUAL((uintptr_t)block % BLOCK_BYTES, 0);
    CHECK_EQUAL(weir_direct_alignment(fd, NULL, WEIR_FOREVER), -EINVAL);
    CHECK_EQUAL(weir_direct_alignment(-1, &alignment, WEIR_FOREVER), -EBADF);
    CHECK_EQUAL(weir_direct_alignment(fd, &alignment, WEIR_FOREVER), 0);
    if (arg)
        CHECK(!alignment.is_known && alignment.offset_bytes == BLOCK_BYTES);
    if (alignment.is_known)
        check_explained(fd, block, alignment.offset_bytes);
    check_misfits(fd, block, alignment.memory_bytes, alignment.offset_bytes);
    CHECK(weir_direct_alloc(SIZE_MAX) == NULL);
    weir_direct_free(NULL);
    weir_direct_free(block);
    CHECK_EQUAL(weir_close(fd), 0);
    return 0;
}

/* Once asked of the file, and once as where nobody says: then the kernel refuses. */
static void test_alignment(void **state)
{
    struct weir_options options = { .loop_count = 1 };

    (void)state;
    if (test_run(alignment_body, NULL, &options) == NO_SUCH_DISK)
        skip();
    options.without_features = WEIR_FEATURE_DIOALIGN;
    assert_int_equal(test_run(alignment_body, &options, &options), 0);
}

/* --- refused and rerouted --------------------------------------------------------------------- */

static void write_blocks(int fd, char *block, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        memset(block, 'a' + i % 26, BLOCK_BYTES);
        CHECK_EQUAL(weir_pwrite(fd, block, BLOCK_BYTES, (off_t)i * BLOCK_BYTES, WEIR_FOREVER),
                    BLOCK_BYTES);
    }
}

static void check_blocks(int fd, char *block, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        CHECK_EQUAL(weir_pread(fd, block, BLOCK_BYTES, (off_t)i * BLOCK_BYTES, WEIR_FOREVER),
                    BLOCK_BYTES);
        CHECK(block[0] == 'a' + i % 26 && block[BLOCK_BYTES - 1] == 'a' + i % 26);
    }
}

/* Every write extends the file: at most a tenth is tried, the pool gets the rest at once. When the
 * file no longer grows, the ring gets its writes again, where the file system takes them. */
static int extend_body(void *arg)
{
    int fd = direct_file("direct", 0), workers = count_kernel_workers();
    char *block = weir_direct_alloc(BLOCK_BYTES);
    struct weir_op_stats stats, later;

    (void)arg;
    if (fd < 0)
        return NO_SUCH_DISK;
    write_blocks(fd, block, BLOCKS, 10 * BLOCKS);
    stats = stats_of(WEIR__OP_ID_PWRITE);
    CHECK(stats.refused_count > 0);
    CHECK(stats.refused_count <= BLOCKS + 10);
    CHECK((long long)(stats.refused_count + stats.rerouted_count) == 10 * BLOCKS);
    CHECK((long long)stats.pool_count == 10 * BLOCKS);
    check_description(fd, "pool");
    check_blocks(fd, block, BLOCKS, 10 * BLOCKS);
    for (int round = 0; round < 4; round++)
        write_blocks(fd, block, BLOCKS, 2 * BLOCKS);
    later = stats_of(WEIR__OP_ID_PWRITE);
    CHECK(later.refused_count - stats.refused_count <= (uint64_t)BLOCKS);
    if (later.refused_count - stats.refused_count < 10)
        check_description(fd, "ring");
    check_blocks(fd, block, BLOCKS, 10 * BLOCKS);
    CHECK_EQUAL(count_kernel_workers(), workers);
    CHECK_EQUAL(weir_close(fd), 0);
    weir_direct_free(block);
    return 0;
}

static void test_what_extends_is_rerouted(void **state)
{
    (void)state;
    if (test_run(extend_body, NULL, &one_loop) == NO_SUCH_DISK)
        skip();
}

/* An append always extends: not even tried. */
static int append_body(void *arg)
{
    int fd = direct_file("direct", O_APPEND), plain = direct_file("other", 0);
    char *block = weir_direct_alloc(BLOCK_BYTES);
    struct iovec vector = { block, BLOCK_BYTES };
    struct stat file;

    (void)arg;
    if (fd < 0 || plain < 0)
        return NO_SUCH_DISK;
    write_blocks(fd, block, 0, 20);
    CHECK(stats_of(WEIR__OP_ID_PWRITE).rerouted_count == 20);
    CHECK_EQUAL(weir_pwritev2(plain, &vector, 1, 0, RWF_APPEND, WEIR_FOREVER), BLOCK_BYTES);
    CHECK(stats_of(WEIR__OP_ID_PWRITEV).rerouted_count == 1);
    CHECK_EQUAL(fstat(fd, &file), 0);
    CHECK_EQUAL(file.st_size, FILE_BYTES + 20 * BLOCK_BYTES);
    CHECK_EQUAL(fstat(plain, &file), 0);
    CHECK_EQUAL(file.st_size, FILE_BYTES + BLOCK_BYTES);
    check_description(fd, "pool");
    CHECK_EQUAL(weir_close(fd), 0);
    CHECK_EQUAL(weir_close(plain), 0);
    weir_direct_free(block);
    return 0;
}

static void test_an_append_is_the_pools(void **state)
{
    (void)state;
    if (test_run(append_body, NULL, &one_loop) == NO_SUCH_DISK)
        skip();
}

struct mixed {
    int direct;
    int buffered;
    int offset_blocks;
};

/* Writes by one way, reads by the other, block by block. */
static int64_t mix(void *arg, int64_t deadline_ns)
{
    const struct mixed *mixed = arg;
    char *block = weir_direct_alloc(BLOCK_BYTES), *copy = weir_direct_alloc(BLOCK_BYTES);

    for (int i = 0; i < 100; i++) {
        int writer = i % 2 ? mixed->direct : mixed->buffered;
        int reader = i % 2 ? mixed->buffered : mixed->direct;
        off_t offset = (off_t)(mixed->offset_blocks + i % 8) * BLOCK_BYTES;

        memset(block, i, BLOCK_BYTES);
        CHECK_EQUAL(weir_pwrite(writer, block, BLOCK_BYTES, offset, deadline_ns), BLOCK_BYTES);
        CHECK_EQUAL(weir_pread(reader, copy, BLOCK_BYTES, offset, deadline_ns), BLOCK_BYTES);
        CHECK_EQUAL(memcmp(block, copy, BLOCK_BYTES), 0);
    }
    weir_direct_free(block);
    weir_direct_free(copy);
    return 0;
}

enum { MIXERS = 16 };

static int mixed_body(void *arg)
{
    int direct = direct_file("direct", 0), buffered, workers = count_kernel_workers();
    struct mixed mixed[MIXERS];
    struct call calls[MIXERS];

    (void)arg;
    if (direct < 0)
        return NO_SUCH_DISK;
    buffered = weir_openat(AT_FDCWD, "direct", O_RDWR, 0, WEIR_FOREVER);
    for (int i = 0; i < MIXERS; i++) {
        mixed[i] = (struct mixed){ direct, buffered, i * 8 };
        calls[i] = call_of(mix, &mixed[i]);
        call_start(&calls[i]);
    }
    for (int i = 0; i < MIXERS; i++)
        CHECK_EQUAL(call_finish(&calls[i]), 0);
    CHECK(stats_of(WEIR__OP_ID_PREAD).refused_count > 0);
    CHECK(stats_of(WEIR__OP_ID_PREAD).rerouted_count > 0);
    CHECK_EQUAL(counter(WEIR_OPS_REFUSED), stats_of(WEIR__OP_ID_PREAD).refused_count +
                                               stats_of(WEIR__OP_ID_PWRITE).refused_count);
    CHECK_EQUAL(count_kernel_workers(), workers);
    CHECK_EQUAL(weir_close(direct), 0);
    CHECK_EQUAL(weir_close(buffered), 0);
    return 0;
}

static void test_mixed_use_is_the_pools(void **state)
{
    (void)state;
    if (test_run(mixed_body, NULL, &one_loop) == NO_SUCH_DISK)
        skip();
}

/* Deadlines and cancels beside refusals: all bytes or none. */
static int race_body(void *arg)
{
    int fd = direct_file("direct", 0);
    char *block = weir_direct_alloc(BLOCK_BYTES);
    long rounds = test_rounds(300, 3000, 30000);

    (void)arg;
    if (fd < 0)
        return NO_SUCH_DISK;
    for (long i = 0; i < rounds; i++) {
        off_t offset = (off_t)(BLOCKS + i) * BLOCK_BYTES;
        ssize_t put = weir_pwrite(fd, block, BLOCK_BYTES, offset, weir_in_us(i % 200 + 1));
        struct stat file;

        CHECK(put == BLOCK_BYTES || put == -ETIME);
        CHECK_EQUAL(fstat(fd, &file), 0);
        if (!CHECK((file.st_size == offset + BLOCK_BYTES) == (put == BLOCK_BYTES)))
            print_error("%lld of %lld, %s\n", (long long)file.st_size, (long long)offset,
                        weir_error_name(put));
    }
    CHECK_EQUAL(counter(WEIR_SUBMISSIONS_NOW), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    weir_direct_free(block);
    return 0;
}

static void test_refusals_race_with_deadlines(void **state)
{
    (void)state;
    if (test_run(race_body, NULL, &one_loop) == NO_SUCH_DISK)
        skip();
}

/* --- under load ------------------------------------------------------------------------------- */

struct load {
    int fd;
    int number;
};

/* Reads all over the file, which is hit and missed in turns. */
static int64_t read_all_over(void *arg, int64_t deadline_ns)
{
    const struct load *load = arg;
    char *block = weir_direct_alloc(BLOCK_BYTES);

    for (int i = 0; i < 100; i++) {
        off_t offset = (off_t)((load->number * 37 + i * 11) % BLOCKS) * BLOCK_BYTES;

        CHECK_EQUAL(weir_pread(load->fd, block, BLOCK_BYTES, offset, deadline_ns), BLOCK_BYTES);
        if (load->number == 0 && i % 10 == 0)
            CHECK_EQUAL(weir_fadvise(load->fd, 0, 0, POSIX_FADV_DONTNEED, deadline_ns), 0);
    }
    weir_direct_free(block);
    return 0;
}

enum { READERS = 64 };

static void read_under_load(int fd)
{
    struct load loads[READERS];
    struct call calls[READERS];

    for (int i = 0; i < READERS; i++) {
        loads[i] = (struct load){ fd, i };
        calls[i] = call_of(read_all_over, &loads[i]);
        calls[i].loop_index = (unsigned)i % 2;
        call_start(&calls[i]);
    }
    for (int i = 0; i < READERS; i++)
        CHECK_EQUAL(call_finish(&calls[i]), 0);
}

static int load_body(void *arg)
{
    int fds[] = { direct_file("direct", 0), plain_open("direct", O_RDONLY) };
    int workers = count_kernel_workers();

    (void)arg;
    if (fds[0] < 0)
        return NO_SUCH_DISK;
    for (int i = 0; i < 2; i++) {
        read_under_load(fds[i]);
        CHECK_EQUAL(weir_close(fds[i]), 0);
    }
    CHECK(stats_of(WEIR__OP_ID_PREAD).missed_count > 0);
    CHECK(stats_of(WEIR__OP_ID_PREAD).inline_count > 0);
    CHECK(stats_of(WEIR__OP_ID_PREAD).ring_count > 0);
    CHECK_EQUAL(count_kernel_workers(), workers);
    return 0;
}

static void test_reads_make_no_kernel_threads(void **state)
{
    (void)state;
    if (test_run(load_body, NULL, &two_loops) == NO_SUCH_DISK)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_alignment),
        IN_FOLDER(test_what_extends_is_rerouted),
        IN_FOLDER(test_an_append_is_the_pools),
        IN_FOLDER(test_mixed_use_is_the_pools),
        IN_FOLDER(test_refusals_race_with_deadlines),
        IN_FOLDER(test_reads_make_no_kernel_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
