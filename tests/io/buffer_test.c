/* SPDX-License-Identifier: MIT */
/* Registered buffers: who uses them, on which loops, what is refused and how it is explained. */
#include "fixture.h"

enum { BLOCKS = 8, REGION_BYTES = BLOCKS * BLOCK_BYTES };

/* With and without the kernel's help in sharing what is pinned. */
static const struct weir_options masks[] = {
    { .loop_count = 2 },
    { .loop_count = 2, .without_features = WEIR_FEATURE_CLONE_BUFFERS },
    { .loop_count = 1 },
};
enum { MASKS = sizeof masks / sizeof masks[0] };

struct desk {
    char *region; /* registered */
    char *other;
    int fd; /* O_DIRECT, with a pattern */
};

static int desk_init(struct desk *desk)
{
    desk->region = pattern_block(REGION_BYTES);
    desk->other = pattern_block(REGION_BYTES);
    plain_close(pattern_file("direct", O_RDWR));
    desk->fd = open("direct", O_RDWR | O_DIRECT | O_CLOEXEC);
    if (desk->fd < 0)
        return NO_SUCH_DISK;
    weir_forget(desk->fd);
    return kind_of(desk->fd) == WEIR__FD_DIRECT ? 0 : NO_SUCH_DISK;
}

static void desk_term(struct desk *desk)
{
    if (desk->fd >= 0)
        plain_close(desk->fd);
    free(desk->region);
    free(desk->other);
}

/* Reads the file's second block there, and checks it. Returns by how much the counter grew. */
static long long read_block(struct desk *desk, char *buffer, size_t bytes)
{
    long long before = counter(WEIR_OPS_REGISTERED);
    char *pattern = pattern_block(BLOCK_BYTES + REGION_BYTES);

    memset(buffer, 0, bytes);
    CHECK_EQUAL(weir_pread(desk->fd, buffer, bytes, BLOCK_BYTES, WEIR_FOREVER), bytes);
    CHECK_EQUAL(memcmp(buffer, pattern + BLOCK_BYTES, bytes), 0);
    free(pattern);
    return counter(WEIR_OPS_REGISTERED) - before;
}

static int64_t read_registered(void *arg, int64_t deadline_ns)
{
    struct desk *desk = arg;

    (void)deadline_ns;
    return read_block(desk, desk->region + BLOCK_BYTES, BLOCK_BYTES);
}

static void check_uses(struct desk *desk)
{
    char *last = desk->region + REGION_BYTES - BLOCK_BYTES;
    long long before = counter(WEIR_OPS_REGISTERED);

    CHECK_EQUAL(read_block(desk, desk->region, REGION_BYTES), 1);
    CHECK_EQUAL(read_block(desk, last, BLOCK_BYTES), 1);
    CHECK_EQUAL(read_block(desk, desk->other, BLOCK_BYTES), 0);
    for (unsigned loop = 0; loop < weir__loop_current->runtime->loop_count; loop++)
        CHECK_EQUAL(run_on_loop(loop, read_registered, desk), 1);
    before = counter(WEIR_OPS_REGISTERED);
    memset(last, 'w', BLOCK_BYTES);
    CHECK_EQUAL(weir_pwrite(desk->fd, last, BLOCK_BYTES, 0, WEIR_FOREVER), BLOCK_BYTES);
    CHECK_EQUAL(counter(WEIR_OPS_REGISTERED) - before, 1);
    CHECK_EQUAL(weir_pread(desk->fd, desk->other, BLOCK_BYTES, 0, WEIR_FOREVER), BLOCK_BYTES);
    CHECK_EQUAL(memcmp(desk->other, last, BLOCK_BYTES), 0);
}

static int uses_body(void *arg)
{
    struct desk desk;
    int result = desk_init(&desk);

    (void)arg;
    if (result == 0) {
        CHECK_EQUAL(read_block(&desk, desk.region, BLOCK_BYTES), 0);
        CHECK_EQUAL(weir_buffer_register(desk.region, REGION_BYTES), 0);
        CHECK_EQUAL(counter(WEIR_BUFFERS_NOW), 1);
        CHECK_EQUAL(counter(WEIR_BUFFER_BYTES_NOW), REGION_BYTES);
        check_uses(&desk);
        CHECK_EQUAL(weir_buffer_unregister(desk.region), 0);
        CHECK_EQUAL(counter(WEIR_BUFFERS_NOW), 0);
        CHECK_EQUAL(counter(WEIR_BUFFER_BYTES_NOW), 0);
        for (unsigned loop = 0; loop < weir__loop_current->runtime->loop_count; loop++)
            CHECK_EQUAL(run_on_loop(loop, read_registered, &desk), 0);
        CHECK_EQUAL(weir_buffer_register(desk.region, REGION_BYTES), 0); /* left to the end */
    }
    desk_term(&desk);
    return result;
}

static void test_calls_inside_of_a_region_use_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < MASKS; i++)
        if (test_run(uses_body, NULL, &masks[i]) == NO_SUCH_DISK) {
            print_message("skipped: no O_DIRECT on a local disk in TMPDIR\n");
            skip();
        }
}

/* --- Unregistering with something under way. -------------------------------------------------- */

static int64_t read_all_blocks(void *arg, int64_t deadline_ns)
{
    struct desk *desk = arg;

    return weir_pread(desk->fd, desk->region, REGION_BYTES, 0, deadline_ns);
}

static int under_way_body(void *arg)
{
    struct desk desk;
    int result = desk_init(&desk);

    (void)arg;
    for (int turns = 0; turns < 3 && result == 0; turns++) {
        struct call call = call_of(read_all_blocks, &desk);

        CHECK_EQUAL(weir_buffer_register(desk.region, REGION_BYTES), 0);
        memset(desk.region, 0, REGION_BYTES);
        call_start(&call);
        while (!op_on(desk.fd)) /* prepared, and not yet the kernel's */
            CHECK_EQUAL(weir_yield(), 0);
        for (int i = 1; i < turns; i++)
            weir__ring_poll(&weir__loop_current->ring);
        CHECK_EQUAL(weir_buffer_unregister(desk.region), 0);
        CHECK_EQUAL(call_finish(&call), REGION_BYTES);
        CHECK_EQUAL(memcmp(desk.region, desk.other, REGION_BYTES), 0);
    }
    desk_term(&desk);
    return result;
}

static void test_what_is_under_way_keeps_its_region(void **state)
{
    (void)state;
    if (test_run(under_way_body, NULL, &one_loop) == NO_SUCH_DISK)
        skip();
}

/* --- What is refused. ------------------------------------------------------------------------- */

static void refused(void *base, size_t bytes, int error, const char *text)
{
    CHECK_EQUAL(weir_buffer_register(base, bytes), error);
    if (!CHECK(strstr(weir_last_error(), text) != NULL))
        fprintf(stderr, "\"%s\" is not in: %s\n", text, weir_last_error());
}

static void check_memory_that_cannot_be_pinned(void)
{
    char *hole = mmap(NULL, REGION_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = plain_open("mapped", O_CREAT | O_RDWR);
    char *mapped;
    int error;

    CHECK(hole != MAP_FAILED);
    refused(hole, REGION_BYTES, -EFAULT, "EFAULT");
    CHECK_EQUAL(munmap(hole, REGION_BYTES), 0);
    CHECK_EQUAL(ftruncate(fd, REGION_BYTES), 0);
    mapped = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(mapped != MAP_FAILED);
    error = weir_buffer_register(mapped, REGION_BYTES); /* tmpfs can be pinned */
    CHECK(error == 0 || error == -EOPNOTSUPP || error == -EFAULT);
    if (error == 0)
        CHECK_EQUAL(weir_buffer_unregister(mapped), 0);
    CHECK_EQUAL(munmap(mapped, REGION_BYTES), 0);
    plain_close(fd);
}

static int refusals_body(void *arg)
{
    char *block = pattern_block((WEIR_BUFFERS_MAX + 1) * BLOCK_BYTES);

    (void)arg;
    refused(NULL, 1, -EINVAL, "EINVAL");
    refused(block, 0, -EINVAL, "EINVAL");
    refused(block, (size_t)WEIR_BUFFER_BYTES_MAX + 1, -EINVAL, "1 GiB");
    CHECK_EQUAL(weir_buffer_unregister(block), -ENOENT);
    CHECK_EQUAL(weir_buffer_unregister(NULL), -ENOENT);
    check_memory_that_cannot_be_pinned();
    for (size_t i = 0; i < WEIR_BUFFERS_MAX; i++)
        CHECK_EQUAL(weir_buffer_register(block + i * BLOCK_BYTES, BLOCK_BYTES), 0);
    refused(block + 10, 1, -EEXIST, "overlaps");
    refused(block + WEIR_BUFFERS_MAX * BLOCK_BYTES, BLOCK_BYTES, -ENOBUFS, "16 regions");
    CHECK_EQUAL(counter(WEIR_BUFFERS_REFUSED), 1);
    CHECK_EQUAL(weir_buffer_unregister(block + BLOCK_BYTES + 1), -ENOENT);
    CHECK_EQUAL(weir_buffer_unregister(block + BLOCK_BYTES), 0);
    CHECK_EQUAL(counter(WEIR_BUFFERS_NOW_MAX), WEIR_BUFFERS_MAX);
    CHECK_EQUAL(counter(WEIR_BUFFERS_NOW), WEIR_BUFFERS_MAX - 1);
    CHECK_EQUAL(weir_buffer_register(block + WEIR_BUFFERS_MAX * BLOCK_BYTES, BLOCK_BYTES), 0);
    CHECK_EQUAL(counter(WEIR_BUFFERS_NOW), WEIR_BUFFERS_MAX);
    free(block);
    return 0;
}

static void test_refusals_are_explained(void **state)
{
    (void)state;
    assert_int_equal(weir_buffer_register(state, 1), -ENXIO);
    assert_int_equal(weir_buffer_unregister(state), -ENXIO);
    for (size_t i = 0; i < MASKS; i++)
        assert_int_equal(test_run(refusals_body, NULL, &masks[i]), 0);
}

/* --- Many at once. ---------------------------------------------------------------------------- */

enum { RACERS = 6, RACE_REGIONS = 3 };

static char *race_block;

static int race(void *arg)
{
    long rounds = *(long *)arg;

    for (long i = 0; i < rounds; i++) {
        char *base = race_block + i % RACE_REGIONS * BLOCK_BYTES;
        int error = weir_buffer_register(base, BLOCK_BYTES);

        CHECK(error == 0 || error == -EEXIST);
        error = weir_buffer_unregister(base);
        CHECK(error == 0 || error == -EBUSY || error == -ENOENT);
        CHECK_EQUAL(weir_yield(), 0);
    }
    return 0;
}

static int race_body(void *arg)
{
    struct weir_scope *scope;

    CHECK_EQUAL(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), 0);
    for (unsigned i = 0; i < RACERS; i++) {
        struct weir_spawn_options options = { .place = WEIR_PLACE_LOOP, .loop_index = i % 2 };

        CHECK_EQUAL(weir_spawn(scope, race, arg, &options), 0);
    }
    CHECK_EQUAL(weir_scope_join(scope, WEIR_FOREVER), 0);
    for (size_t i = 0; i < RACE_REGIONS; i++)
        weir_buffer_unregister(race_block + i * BLOCK_BYTES);
    CHECK_EQUAL(counter(WEIR_BUFFERS_NOW), 0);
    return 0;
}

static void test_loops_agree_after_a_race(void **state)
{
    long rounds = test_rounds(200, 5000, 50000);

    (void)state;
    race_block = pattern_block(RACE_REGIONS * BLOCK_BYTES);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(test_run(race_body, &rounds, &masks[i]), 0);
    free(race_block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_calls_inside_of_a_region_use_it),
        IN_FOLDER(test_what_is_under_way_keeps_its_region),
        IN_FOLDER(test_refusals_are_explained),
        cmocka_unit_test(test_loops_agree_after_a_race),
    };

    return cmocka_run_group_tests_name("io/buffer", tests, NULL, NULL);
}
