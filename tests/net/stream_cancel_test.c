/* SPDX-License-Identifier: MIT */
/*
 * weir_stream under races: each call with a random deadline, in tasks that are cancelled at random,
 * and so few receive buffers for so many streams that they run out all the time. Every byte arrives
 * exactly once, in order, as the results say.
 */
#include "io/race.h"

enum {
    LOOPS = 2,
    STREAMS = 6,
    BYTES_MAX = 48 * 1024, /* some are above the size from which sends copy nothing */
    SMALL_MAX = 700,
    GUARD_BYTES = 64,
    UNTOUCHED = 0x55,
    SPENT = 0x66,
    LARGE_SHARE = 16,
};

struct side {
    struct weir_stream *stream;
    bool is_writer;
    uint64_t key;
    uint64_t position;
    long calls_left; /* of a writer */
    bool finished;
    struct weir__random random;
    unsigned char *buffer;
    size_t dirty_bytes;
    long call_count, expired_count, cancelled_count;
};

static unsigned char byte_at(const struct side *side, uint64_t position)
{
    return (unsigned char)(((position + side->key) * 0x9e3779b97f4a7c15u) >> 56);
}

static size_t choose_bytes(struct side *side)
{
    bool large = one_in(&side->random, LARGE_SHARE);

    return 1 + weir__random_below(&side->random, large ? BYTES_MAX : SMALL_MAX);
}

static void check_failure(struct side *side, ssize_t result, int64_t deadline_ns)
{
    if (result == -ECANCELED)
        side->cancelled_count++;
    else if (result == -EAGAIN)
        CHECK_EQUAL(deadline_ns, WEIR_NOW);
    else if (CHECK_EQUAL(result, -ETIME))
        CHECK(deadline_ns <= weir_now_ns());
    side->expired_count += result != -ECANCELED;
}

static ssize_t write_once(struct side *side)
{
    int64_t deadline_ns = race_deadline(&side->random);
    size_t bytes = choose_bytes(side), first;
    struct iovec parts[2];
    ssize_t result;

    for (size_t i = 0; i < bytes; i++)
        side->buffer[i] = byte_at(side, side->position + i);
    first = weir__random_below(&side->random, (uint32_t)bytes + 1);
    parts[0] = (struct iovec){ side->buffer, first };
    parts[1] = (struct iovec){ side->buffer + first, bytes - first };
    if (one_in(&side->random, 2))
        result = weir_stream_write(side->stream, side->buffer, bytes, deadline_ns);
    else
        result = weir_stream_writev(side->stream, parts, 2, deadline_ns);
    memset(side->buffer, SPENT, bytes);
    if (result < 0)
        check_failure(side, result, deadline_ns);
    else if (CHECK((size_t)result <= bytes))
        side->position += (uint64_t)result;
    return result;
}

static ssize_t flush_once(struct side *side)
{
    int64_t deadline_ns = race_deadline(&side->random);
    int result = weir_stream_flush(side->stream, deadline_ns);

    if (result < 0)
        check_failure(side, result, deadline_ns);
    return result;
}

static void check_untouched(const struct side *side, size_t from, size_t bytes)
{
    size_t wrong = 0;

    for (size_t i = from; i < bytes; i++)
        wrong += side->buffer[i] != UNTOUCHED;
    CHECK_EQUAL(wrong, 0);
}

static size_t count_wrong(const struct side *side, const unsigned char *bytes, size_t count)
{
    size_t wrong = 0;

    for (size_t i = 0; i < count; i++)
        wrong += bytes[i] != byte_at(side, side->position + i);
    return wrong;
}

static ssize_t peek_once(struct side *side)
{
    int64_t deadline_ns = race_deadline(&side->random);
    size_t least = 1 + weir__random_below(&side->random, SMALL_MAX), taken;
    const void *bytes = NULL;
    ssize_t result = weir_stream_peek(side->stream, &bytes, least, deadline_ns);

    if (result < 0) {
        check_failure(side, result, deadline_ns);
        return result;
    }
    CHECK_EQUAL(count_wrong(side, bytes, (size_t)result), 0);
    taken = weir__random_below(&side->random, (uint32_t)result + 1);
    CHECK_EQUAL(weir_stream_consume(side->stream, taken), 0);
    side->position += taken;
    return result;
}

static ssize_t read_once(struct side *side)
{
    int64_t deadline_ns = race_deadline(&side->random);
    size_t bytes = choose_bytes(side), got;
    ssize_t result;

    check_untouched(side, 0, side->dirty_bytes);
    side->dirty_bytes = bytes + GUARD_BYTES;
    if (one_in(&side->random, 3))
        result = weir_stream_read_exactly(side->stream, side->buffer, bytes, deadline_ns);
    else
        result = weir_stream_read(side->stream, side->buffer, bytes, deadline_ns);
    if (result < 0)
        check_failure(side, result, deadline_ns);
    got = result < 0 ? 0 : (size_t)result;
    CHECK_EQUAL(count_wrong(side, side->buffer, got), 0);
    if (result >=
        0) /* a failed read may have used the caller's memory, but not after it returned */
        check_untouched(side, got, side->dirty_bytes);
    memset(side->buffer, UNTOUCHED, side->dirty_bytes);
    side->position += got;
    return result;
}

static void end_writer(struct side *side)
{
    weir_shield_enter();
    CHECK_EQUAL(weir_stream_end(side->stream, WEIR_FOREVER), 0);
    weir_shield_leave();
    side->finished = true;
}

static int work(void *arg)
{
    struct side *side = arg;
    ssize_t result = 0;

    while (result != -ECANCELED && !side->finished) {
        side->call_count++;
        if (side->is_writer && side->calls_left-- <= 0)
            end_writer(side);
        else if (side->is_writer)
            result = one_in(&side->random, 6) ? flush_once(side) : write_once(side);
        else if (one_in(&side->random, 3))
            side->finished = (result = peek_once(side)) == 0;
        else
            side->finished = (result = read_once(side)) == 0;
    }
    return 0;
}

struct race {
    long calls;
    unsigned flags; /* enum weir_stream_flag */
    long call_count, expired_count, cancelled_count;
};

struct pair {
    struct weir_stream *ends[2];
    struct side sides[4]; /* writer and reader, there and back */
};

static void pair_init(struct pair *pair, const struct race *race, unsigned nth)
{
    const struct weir_stream_options options = { .flags = race->flags };
    int fds[2];

    if (nth % 3)
        make_connection(fds);
    else
        make_pair(fds);
    for (int end = 0; end < 2; end++)
        CHECK_EQUAL(weir_stream_open(&pair->ends[end], fds[end], &options), 0);
    for (unsigned i = 0; i < 4; i++) {
        pair->sides[i] = (struct side){
            .stream = pair->ends[i == 0 || i == 3],
            .is_writer = i % 2 == 0,
            .key = race_seed() * 2 + nth * 4 + i / 2,
            .calls_left = race->calls,
            .random = race_random(nth * 16 + i),
            .buffer = malloc(BYTES_MAX + GUARD_BYTES),
        };
        memset(pair->sides[i].buffer, UNTOUCHED, BYTES_MAX + GUARD_BYTES);
    }
}

static void pair_term(struct pair *pair, struct race *race)
{
    for (unsigned i = 0; i < 4; i++) {
        race->call_count += pair->sides[i].call_count;
        race->expired_count += pair->sides[i].expired_count;
        race->cancelled_count += pair->sides[i].cancelled_count;
        free(pair->sides[i].buffer);
    }
    for (unsigned i = 0; i < 4; i += 2)
        CHECK_EQUAL(pair->sides[i].position, pair->sides[i + 1].position);
}

static int64_t close_call(void *arg, int64_t deadline_ns)
{
    return weir_stream_close(arg, deadline_ns);
}

static int race_body(void *arg)
{
    struct race *race = arg;
    struct pair pairs[STREAMS];
    struct race_side sides[STREAMS * 4];
    size_t count = 0;

    for (unsigned nth = 0; nth < STREAMS; nth++) {
        pair_init(&pairs[nth], race, nth);
        for (unsigned i = 0; i < 4; i++)
            sides[count++] = (struct race_side){
                .body = work,
                .arg = &pairs[nth].sides[i],
                .finished = &pairs[nth].sides[i].finished,
                .loop_index = (nth / 2 + (i == 0 || i == 3)) % LOOPS,
                .random = race_random(1000 + nth * 16 + i),
            };
    }
    race_all(sides, count, LOOPS);
    for (unsigned nth = 0; nth < STREAMS; nth++) {
        pair_term(&pairs[nth], race);
        for (unsigned end = 0; end < 2; end++) /* at home, by the sides' reckoning */
            CHECK_EQUAL(
                run_on_loop((nth / 2 + (end == 1)) % LOOPS, close_call, pairs[nth].ends[end]), 0);
    }
    return 0;
}

static void run_race(const char *name, const struct weir_options *options, struct race race)
{
    int fd_count = count_fds();

    race_seed();
    assert_int_equal(test_run(race_body, &race, options), 0);
    assert_int_equal(count_fds(), fd_count);
    print_message("%s: %ld calls, %ld expired, %ld cancelled\n", name, race.call_count,
                  race.expired_count, race.cancelled_count);
    assert_true(race.expired_count > 0);
    assert_true(race.cancelled_count > 0);
}

static void test_streams(void **state)
{
    const struct weir_options options = { .loop_count = LOOPS };

    (void)state;
    run_race("streams", &options, (struct race){ .calls = test_rounds(200, 20000, 300000) });
}

/* The kernel finds no buffer most of the time. */
static void test_without_buffers(void **state)
{
    const struct weir_options options = {
        .loop_count = LOOPS,
        .ring_entries = 16,
        .receive_buffer_bytes = 1024,
        .receive_buffers_bytes = 4 * 1024,
    };

    (void)state;
    run_race("few buffers", &options, (struct race){ .calls = test_rounds(200, 10000, 200000) });
}

static void test_plain_receives(void **state)
{
    const struct weir_options options = { .loop_count = LOOPS, .ring_entries = 16 };

    (void)state;
    run_race("plain", &options,
             (struct race){ .calls = test_rounds(100, 10000, 200000),
                            .flags = WEIR_STREAM_PLAIN_RECEIVE | WEIR_STREAM_NO_ZERO_COPY });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_without_buffers),
        cmocka_unit_test(test_plain_receives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
