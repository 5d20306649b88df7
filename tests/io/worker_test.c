/* SPDX-License-Identifier: MIT */
/* The backstop: whatever makes the kernel's own threads do work, there are never more of them than
 * the runtime allows. No row of the table does; so the rings are given what does, by hand. */
#include "disk.h"

#include "ring/ring.h"

enum { SYNCS = 120, BOUNDED_MAX = 4, UNBOUNDED_MAX = 1 };

static int done_count;

static void sync_done(struct weir__completion *completion, int result, uint32_t flags)
{
    (void)completion;
    (void)flags;
    CHECK_EQUAL(result, 0);
    done_count++;
}

static int cap_body(void *arg)
{
    struct weir__ring *ring = &weir__loop_current->ring;
    struct weir__completion completion = { .complete = sync_done };
    int fd = plain_open("file", O_CREAT | O_RDWR), workers_max = 0;
    int before = count_kernel_workers();

    (void)arg;
    if (!(ring->features & WEIR_FEATURE_IOWQ_LIMIT))
        return NO_SUCH_DISK;
    done_count = 0;
    for (int i = 0; i < SYNCS; i++) {
        struct io_uring_sqe *sqe = weir__ring_sqe(ring);

        CHECK_EQUAL(pwrite(fd, "x", 1, i * BLOCK_BYTES), 1);
        io_uring_prep_fsync(sqe, fd, 0);
        weir__ring_complete_to(sqe, &completion);
    }
    while (done_count < SYNCS) {
        int workers = count_kernel_workers() - before;

        workers_max = workers > workers_max ? workers : workers_max;
        CHECK_EQUAL(weir_sleep(weir_in_us(100)), 0);
    }
    CHECK(workers_max > 0);
    CHECK(workers_max <= BOUNDED_MAX + UNBOUNDED_MAX);
    plain_close(fd);
    return 0;
}

static void test_the_cap_holds(void **state)
{
    (void)state;
    if (test_run(cap_body, NULL, &one_loop) == NO_SUCH_DISK)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = { IN_FOLDER(test_the_cap_holds) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
