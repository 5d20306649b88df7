/* SPDX-License-Identifier: MIT */
/*
 * No punts: what the table sends to the ring, the kernel does there without a thread of its own.
 * Its workers show as tasks of the process, and stay for seconds: none is there after each load.
 */
#include "fixture.h"

#include <dirent.h>

enum { CROWD = 64, FILE_BYTES = 16 * 1024 * 1024 };

static int count_workers(void)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    while ((entry = readdir(folder))) {
        char path[300], name[64] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "re");
        if (!file)
            continue;
        if (!fgets(name, sizeof name, file))
            name[0] = '\0';
        fclose(file);
        count += strncmp(name, "iou-wrk", 7) == 0;
    }
    closedir(folder);
    return count;
}

/* The load of one kind, by many tasks at once. */
struct load {
    const char *name;
    int (*body)(void *arg); /* a task; its argument is its number */
    int (*prepare)(void);   /* 0, or NO_SUCH_DISK */
};

static struct sockaddr_in address;
static int shared_fd;
static char *shared_block;

static int prepare_nothing(void)
{
    return 0;
}

static int use_pair(const int ends[2], bool is_socket)
{
    long rounds = test_rounds(20, 500, 5000);
    char bytes[128] = { 0 };

    for (long i = 0; i < rounds; i++) {
        CHECK_EQUAL(weir_write(ends[1], bytes, sizeof bytes, WEIR_FOREVER), sizeof bytes);
        CHECK_EQUAL(weir_read(ends[0], bytes, sizeof bytes, WEIR_FOREVER), sizeof bytes);
        CHECK_EQUAL(weir_read(ends[0], bytes, 1, weir_in_us(50)), -ETIME);
        CHECK_EQUAL(weir_poll(ends[0], POLLIN, WEIR_NOW), -EAGAIN);
        CHECK_EQUAL(weir_poll(ends[1], POLLOUT, WEIR_FOREVER), POLLOUT);
        if (!is_socket)
            continue;
        CHECK_EQUAL(weir_send(ends[1], bytes, sizeof bytes, 0, WEIR_FOREVER), sizeof bytes);
        CHECK_EQUAL(weir_recv(ends[0], bytes, sizeof bytes, MSG_WAITALL, WEIR_FOREVER),
                    sizeof bytes);
        CHECK_EQUAL(weir_recv(ends[0], bytes, 1, 0, weir_in_us(50)), -ETIME);
    }
    CHECK_EQUAL(weir_close(ends[0]), 0);
    CHECK_EQUAL(weir_close(ends[1]), 0);
    return 0;
}

static int use_pipe(void *arg)
{
    int ends[2];

    (void)arg;
    make_pipe(ends);
    return use_pair(ends, false);
}

static int use_unix(void *arg)
{
    int ends[2];

    (void)arg;
    make_pair(ends);
    return use_pair(ends, true);
}

static int listen_once(void)
{
    shared_fd = loopback_socket(CROWD, &address);
    return 0;
}

/* Connects, accepts whichever connection comes, and talks on both. */
static int use_tcp(void *arg)
{
    long rounds = test_rounds(10, 100, 1000);
    char byte = 0;

    (void)arg;
    for (long i = 0; i < rounds; i++) {
        int fd = weir_socket(AF_INET, SOCK_STREAM, 0);
        int accepted;

        CHECK_EQUAL(weir_connect(fd, (struct sockaddr *)&address, sizeof address, WEIR_FOREVER), 0);
        accepted = weir_accept(shared_fd, NULL, NULL, 0, WEIR_FOREVER);
        CHECK(accepted >= 0);
        CHECK_EQUAL(weir_send(accepted, &byte, 1, 0, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_recv(fd, &byte, 1, 0, WEIR_FOREVER), 1);
        CHECK_EQUAL(weir_close(accepted), 0);
        CHECK_EQUAL(weir_close(fd), 0);
    }
    return 0;
}

static int make_file(int flags, enum weir__fd_kind wanted)
{
    char *bytes = pattern_block(FILE_BYTES);
    int fd = plain_open("file", O_CREAT | O_RDWR);
    int result;

    CHECK_EQUAL(weir_pwrite_all(fd, bytes, FILE_BYTES, 0, NULL, WEIR_FOREVER), FILE_BYTES);
    CHECK_EQUAL(weir_fsync(fd, WEIR_FOREVER), 0);
    CHECK_EQUAL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_EQUAL(weir_close(fd), 0);
    free(bytes);
    shared_fd = open("file", O_RDONLY | O_CLOEXEC | flags);
    if (shared_fd < 0)
        return NO_SUCH_DISK;
    result = kind_of(known(shared_fd)) == wanted ? 0 : NO_SUCH_DISK;
    if (result)
        CHECK_EQUAL(weir_close(shared_fd), 0);
    return result;
}

static int make_cold_file(void)
{
    return make_file(0, WEIR__FD_DISK);
}

static int make_direct_file(void)
{
    return make_file(O_DIRECT, WEIR__FD_DIRECT);
}

/* A part of the file of one's own, in an order that read-ahead does not know. */
static int read_part(void *arg)
{
    size_t part_bytes = FILE_BYTES / CROWD;
    off_t start = (off_t)((size_t)(intptr_t)arg * part_bytes);
    char *block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);

    for (size_t at = part_bytes; at >= BLOCK_BYTES; at -= BLOCK_BYTES) {
        off_t offset = start + (off_t)(at - BLOCK_BYTES);

        CHECK_EQUAL(weir_pread(shared_fd, block, BLOCK_BYTES, offset, WEIR_FOREVER), BLOCK_BYTES);
        CHECK_EQUAL(memcmp(block, shared_block + offset, BLOCK_BYTES), 0);
    }
    free(block);
    return 0;
}

static const struct load loads[] = {
    { "pipes", use_pipe, prepare_nothing },
    { "unix-domain sockets", use_unix, prepare_nothing },
    { "tcp, connect and accept", use_tcp, listen_once },
    { "reads that miss the page cache", read_part, make_cold_file },
    { "direct reads", read_part, make_direct_file },
};

static int load_body(void *arg)
{
    const struct load *load = arg;
    struct weir_scope *scope;
    int result;

    shared_fd = -1;
    result = load->prepare();
    if (result)
        return result;
    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (intptr_t i = 0; i < CROWD; i++)
        CHECK_EQUAL(weir_spawn(scope, load->body, (void *)i, NULL), 0);
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    if (!CHECK_EQUAL(count_workers(), 0))
        print_error("%s: the kernel's own threads were used\n", load->name);
    if (shared_fd >= 0)
        CHECK_EQUAL(weir_close(shared_fd), 0);
    return 0;
}

static void test_no_worker_is_seen(void **state)
{
    const struct weir_options options = { .loop_count = 2 };

    (void)state;
    shared_block = pattern_block(FILE_BYTES);
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++)
        if (test_run(load_body, (void *)(uintptr_t)&loads[i], &options) == NO_SUCH_DISK)
            print_message("[  SKIPPED ] %s: not on the file system in TMPDIR\n", loads[i].name);
    free(shared_block);
}

/* The counting itself: statx on the ring always goes to a worker. */
static int punted_body(void *arg)
{
    struct weir__ring *ring = &weir__loop_current->ring;
    static struct statx result;
    struct io_uring_sqe *sqe = weir__ring_sqe(ring);

    (void)arg;
    io_uring_prep_statx(sqe, AT_FDCWD, ".", 0, STATX_SIZE, &result);
    weir__ring_complete_to(sqe, NULL);
    weir__ring_poll(ring);
    while (count_workers() == 0)
        ;
    while (!__atomic_load_n(&result.stx_mask, __ATOMIC_ACQUIRE))
        weir__ring_poll(ring);
    return 0;
}

static void test_a_worker_would_be_seen(void **state)
{
    (void)state;
    assert_int_equal(test_run(punted_body, NULL, &one_loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_no_worker_is_seen),
        IN_FOLDER(test_a_worker_would_be_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
