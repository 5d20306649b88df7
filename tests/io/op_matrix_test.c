/* SPDX-License-Identifier: MIT */
/*
 * The contract of cancellation, cell by cell: every row of the table of operations times every way
 * in which a call may end. A failure leaves the world as it was: its descriptors, the bytes in its
 * sockets and pipes, its files and folders; nothing is in flight afterwards, no credit is missing,
 * no descriptor is held, and nobody touches the buffer.
 *
 * A new row is walked without a change here: its fixture says what it works on.
 */
#include "op_trial.h"

#include <dirent.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

enum { FDS_LOOKED_AT = 256, HOUR_MS = 3600 * 1000, UNTOUCHED = 0x5a };

static const struct weir_options narrow_two = {
    .loop_count = 2,
    .submission_limit = 1,
    .pool_threads_max = 1,
};

/* --- what the world looks like ---------------------------------------------------------------- */

static void mix(uint64_t *digest, uint64_t word)
{
    *digest = (*digest ^ word) * 0x9e3779b97f4a7c15u;
    *digest ^= *digest >> 29;
}

/* When its content or its metadata changed; a folder changes with its entries. */
static void mix_file(uint64_t *digest, const struct stat *file)
{
    mix(digest, (uint64_t)file->st_size);
    mix(digest, (uint64_t)file->st_ctim.tv_sec);
    mix(digest, (uint64_t)file->st_ctim.tv_nsec);
}

static void mix_descriptor(uint64_t *digest, int fd)
{
    struct stat file;
    int waiting = 0, unsent = 0;

    if (fstat(fd, &file) < 0)
        return;
    mix(digest, (uint64_t)fd);
    mix(digest, file.st_mode);
    if (S_ISREG(file.st_mode) || S_ISDIR(file.st_mode)) {
        mix_file(digest, &file);
        mix(digest, (uint64_t)lseek(fd, 0, SEEK_CUR));
        return;
    }
    if (ioctl(fd, FIONREAD, &waiting) == 0)
        mix(digest, (uint64_t)waiting);
    if (S_ISSOCK(file.st_mode) && ioctl(fd, SIOCOUTQ, &unsent) == 0)
        mix(digest, (uint64_t)unsent);
}

/* Which numbers stand for something. */
static void look_at_numbers(bool open[FDS_LOOKED_AT])
{
    for (int fd = 0; fd < FDS_LOOKED_AT; fd++)
        open[fd] = fcntl(fd, F_GETFD) >= 0;
}

/* Those that the process was started with are others' business. */
static bool inherited[FDS_LOOKED_AT];

/* Every descriptor of the process, and every file of the folder, whatever their order. */
struct picture {
    uint64_t files;
    uint64_t descriptors[FDS_LOOKED_AT];
};

static struct picture take_picture(void)
{
    struct picture picture = { 0 };
    DIR *folder = opendir(".");
    struct dirent *entry;
    struct stat file;

    while ((entry = readdir(folder))) {
        uint64_t digest = 1;

        if (strcmp(entry->d_name, "..") == 0 || lstat(entry->d_name, &file) < 0)
            continue;
        for (const char *byte = entry->d_name; *byte; byte++)
            mix(&digest, (uint64_t)*byte);
        mix_file(&digest, &file);
        picture.files += digest;
    }
    closedir(folder);
    for (int fd = 0; fd < FDS_LOOKED_AT; fd++)
        if (!inherited[fd])
            mix_descriptor(&picture.descriptors[fd], fd);
    return picture;
}

static void check_picture(struct trial *trial, const struct picture *before)
{
    struct picture now = take_picture();

    expect(trial, "files changed", now.files == before->files, true);
    for (int fd = 0; fd < FDS_LOOKED_AT; fd++)
        if (!CHECK(now.descriptors[fd] == before->descriptors[fd]))
            print_error("%s: descriptor %d changed\n", weir__op_rows[trial->id].name, fd);
}

/* Timers armed; who holds the pool for the test may have it looked after for a moment yet. */
static uint64_t timer_count(const struct weir__loop *loop)
{
    bool watches = loop->pool_job_count > 0 && weir__timer_armed(&loop->pool_watch);

    return loop->wheel.count - watches;
}

/* Nothing is in flight; `held` credits of each class are the test's. */
static void check_idle(struct trial *trial, size_t held)
{
    const struct weir__io *io = weir__loop_current->io;

    expect(trial, "ops in flight", any_op() == NULL, true);
    expect(trial, "closes in flight", weir__list_empty(&io->closers), true);
    for (int class = WEIR__CLASS_UNBOUNDED + 1; class < WEIR__CLASS_COUNT; class ++) {
        expect(trial, "credits", (int64_t)io->credits[class].used, (int64_t)held);
        expect(trial, "credit waiters", io->credits[class].waiting == 0, true);
    }
    expect(trial, "timers", (int64_t)timer_count(weir__loop_current), 0);
    for (int fd = 0; fd < FDS_LOOKED_AT; fd++)
        if (!CHECK(!weir__descriptor_is_busy(fd)))
            print_error("%s: descriptor %d is held\n", weir__op_rows[trial->id].name, fd);
}

static void check_untouched(struct trial *trial)
{
    size_t touched = 0;

    for (size_t i = 0; i < BLOCK_BYTES; i++)
        touched += trial->world->block[i] != UNTOUCHED;
    expect(trial, "bytes touched", (int64_t)touched, 0);
}

/* --- ways to end a call ----------------------------------------------------------------------- */

struct ending {
    const char *name;
    int64_t (*run)(struct trial *trial); /* the whole call; its result */
    int result;
};

static int64_t end_by_try(struct trial *trial)
{
    return trial_result(trial, WEIR_NOW);
}

static int64_t end_by_past(struct trial *trial)
{
    return trial_result(trial, weir_now_ns());
}

/* A negative time has passed like any other. */
static int64_t end_by_ages(struct trial *trial)
{
    return trial_result(trial, INT64_MIN);
}

static int64_t end_by_deadline(struct trial *trial)
{
    return trial_result(trial, weir_in_ms(2));
}

static int64_t end_by_cancel(struct trial *trial)
{
    trial_start(trial, WEIR_FOREVER);
    weir__sched_settle();
    CHECK_EQUAL(weir_task_cancel(trial->call.task), 0);
    return call_finish(&trial->call);
}

static int64_t end_by_scope(struct trial *trial)
{
    trial_start(trial, WEIR_FOREVER);
    weir__sched_settle();
    CHECK_EQUAL(weir_scope_cancel(trial->call.scope), 0);
    return call_finish(&trial->call);
}

static int64_t cancel_call(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_task_cancel(arg);
}

static int64_t end_by_other_loop(struct trial *trial)
{
    trial_start(trial, WEIR_FOREVER);
    weir__sched_settle();
    CHECK_EQUAL(run_on_loop(1, cancel_call, trial->call.task), 0);
    return call_finish(&trial->call);
}

/* Cancelled before it has run at all. */
static int64_t end_before_start(struct trial *trial)
{
    trial_start(trial, WEIR_FOREVER);
    CHECK_EQUAL(weir_task_cancel(trial->call.task), 0);
    return call_finish(&trial->call);
}

/* Once it has begun to wait, but before its submission has entered the kernel. */
static int64_t end_before_submission(struct trial *trial)
{
    trial_start(trial, WEIR_FOREVER);
    CHECK_EQUAL(weir_yield(), 0);
    CHECK_EQUAL(weir_task_cancel(trial->call.task), 0);
    return call_finish(&trial->call);
}

/* A deadline and a cancel at once, and the cancel again: the first reason stands. */
static int64_t end_twice(struct trial *trial)
{
    int64_t deadline_ns = weir_in_ms(2), result;
    bool late;

    trial_start(trial, deadline_ns);
    weir__sched_settle();
    late = trial->call.result != 0; /* the machine was: nothing to see */
    CHECK_EQUAL(weir_task_cancel(trial->call.task), late ? WEIR_ALREADY : 0);
    CHECK_EQUAL(weir_task_cancel(trial->call.task), WEIR_ALREADY);
    while (weir_now_ns() < deadline_ns)
        ;
    result = call_finish(&trial->call);
    return late ? -ECANCELED : result;
}

static const struct ending endings[] = {
    { "try", end_by_try, -EAGAIN },
    { "deadline before", end_by_past, -ETIME },
    { "deadline long ago", end_by_ages, -ETIME },
    { "deadline during", end_by_deadline, -ETIME },
    { "task cancel", end_by_cancel, -ECANCELED },
    { "scope cancel", end_by_scope, -ECANCELED },
    { "cancel by another loop", end_by_other_loop, -ECANCELED },
    { "cancel before it starts", end_before_start, -ECANCELED },
    { "cancel before it is submitted", end_before_submission, -ECANCELED },
    { "cancel twice", end_twice, -ECANCELED },
};

/* Twice: the first time the fixture makes what it works on. */
static void check_ending(struct trial *trial, const struct ending *ending)
{
    struct picture before;

    trial->how = how_it_waits(trial->id);
    memset(trial->world->block, UNTOUCHED, BLOCK_BYTES);
    expect(trial, ending->name, ending->run(trial), ending->result);
    before = take_picture();
    expect(trial, ending->name, ending->run(trial), ending->result);
    weir__sched_settle();
    check_picture(trial, &before);
    check_untouched(trial);
    check_idle(trial, 1);
}

/* A deadline that is far away changes nothing, and leaves no timer. */
static void check_deadline_after(struct trial *trial)
{
    int64_t result;

    trial->how = SUCCEED;
    result = trial_result(trial, weir_in_ms(HOUR_MS));
    expect(trial, "deadline after", result < 0 ? result : 0, 0);
    check_idle(trial, 0);
}

/* --- ways to lose the descriptor -------------------------------------------------------------- */

/* Returns the op that waits, or NULL when it works on no descriptor. */
static struct weir__op *start_waiting(struct trial *trial)
{
    trial->how = how_it_waits(trial->id);
    trial_start(trial, WEIR_FOREVER);
    weir__sched_settle();
    return any_op();
}

/* A number that the world still wants to close. */
static void fill_number(int fd)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    CHECK(null >= 0);
    if (null != fd) {
        CHECK_EQUAL(dup3(null, fd, O_CLOEXEC), fd);
        close(null);
    }
    weir_forget(fd);
}

static int64_t close_call(void *arg, int64_t deadline_ns)
{
    (void)deadline_ns;
    return weir_close(*(int *)arg);
}

/* By another loop: refused, and nothing has changed. By another task: the call ends first. A
 * fixture that works on a descriptor of its own has closed it by then. */
static void check_close(struct trial *trial, struct call *holder)
{
    bool open[FDS_LOOKED_AT];
    struct weir__op *op;
    int fd = -1;
    struct call closer = call_of(close_call, &fd);
    bool of_world;

    look_at_numbers(open);
    op = start_waiting(trial);
    if (!op || op->fd < 0 || op->row != &weir__op_rows[trial->id]) {
        CHECK_EQUAL(weir_task_cancel(trial->call.task), 0);
        expect(trial, "without a descriptor", call_finish(&trial->call), -ECANCELED);
        let_pool_go(holder);
        return;
    }
    fd = op->fd;
    of_world = open[fd];
    expect(trial, "close by another loop", run_on_loop(1, close_call, &fd), -EBUSY);
    expect(trial, "still open", fcntl(fd, F_GETFD) >= 0, true);
    weir__sched_settle();
    expect(trial, "still waiting", any_op() == NULL, false);
    call_start(&closer);
    expect(trial, "closed by another task", call_finish(&trial->call), -EBADF);
    let_pool_go(holder);
    expect(trial, "close", call_finish(&closer), of_world ? 0 : -EBADF);
    expect(trial, "closed", fcntl(fd, F_GETFD), -1);
    if (of_world)
        fill_number(fd);
}

/* Everybody whom a call could wait for goes. */
static void hang_up(struct world *world)
{
    const int peers[] = { world->quiet[1], world->full[1], world->pipe_quiet[1],
                          world->pipe_full[0] };

    for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++)
        fill_number(peers[i]);
    CHECK_EQUAL(shutdown(world->listener, SHUT_RDWR), 0);
}

/* The call ends by itself; one that does not hear of its peer (a connect that nobody answers), or
 * has none, can still be cancelled. */
static void check_hang_up(struct trial *trial, struct call *holder)
{
    bool has_peer = weir__op_rows[trial->id].holds >= WEIR__HOLDS_POLLABLE &&
                    fixtures[trial->id].route == WEIR__ROUTE_RING;
    bool hears = start_waiting(trial) && has_peer && !fixtures[trial->id].deaf;
    int64_t result;

    hang_up(trial->world);
    weir__sched_settle();
    if (hears && any_op()) {
        expect(trial, "hears of its peer", false, true);
        hears = false;
    }
    if (!hears)
        CHECK_EQUAL(weir_task_cancel(trial->call.task), 0);
    result = call_finish(&trial->call);
    if (hears)
        expect(trial, "peer close", result != -ECANCELED && result != -ETIME, true);
    else
        expect(trial, "cancel after hang-up", result, -ECANCELED);
    let_pool_go(holder);
}

/* --- walks ------------------------------------------------------------------------------------ */

/* Kinds of files are learned on the pool, which the test is going to hold. */
static void learn_kinds(struct world *world, enum weir__op_id id)
{
    if (weir__op_rows[id].holds == WEIR__HOLDS_FILE && !left_out(world, id))
        CHECK(fixtures[id].call(world, SUCCEED, WEIR_FOREVER) >= 0);
}

static bool waits(const struct world *world, enum weir__op_id id)
{
    return !left_out(world, id) && !fixtures[id].no_deadline &&
           fixtures[id].route != WEIR__ROUTE_INLINE;
}

static int endings_body(void *arg)
{
    struct world world = { 0 };
    struct call holder;

    (void)arg;
    world_init(&world);
    for (enum weir__op_id id = 0; id < WEIR__OP_ID_COUNT; id++) {
        struct trial trial = { .world = &world, .id = id };

        learn_kinds(&world, id);
        if (!left_out(&world, id) && !fixtures[id].no_deadline)
            check_deadline_after(&trial);
    }
    hold_pool(&holder);
    hold_credits();
    for (enum weir__op_id id = 0; id < WEIR__OP_ID_COUNT; id++)
        for (size_t i = 0; waits(&world, id) && i < sizeof endings / sizeof endings[0]; i++)
            check_ending(&(struct trial){ .world = &world, .id = id }, &endings[i]);
    give_credits();
    let_pool_go(&holder);
    world_term(&world);
    return 0;
}

struct loss {
    void (*check)(struct trial *trial, struct call *holder); /* gives the pool back */
};

/* Each row in a world of its own, since what it works on goes. */
static int losses_body(void *arg)
{
    const struct loss *loss = arg;

    for (enum weir__op_id id = 0; id < WEIR__OP_ID_COUNT; id++) {
        struct world world = { 0 };
        struct trial trial = { .world = &world, .id = id };
        struct call holder;

        CHECK_EQUAL(make_folder(NULL), 0);
        world_init(&world);
        learn_kinds(&world, id);
        if (waits(&world, id)) {
            hold_pool(&holder);
            hold_credits();
            loss->check(&trial, &holder);
            give_credits();
            check_idle(&trial, 0);
        }
        world_term(&world);
        CHECK_EQUAL(remove_folder(NULL), 0);
    }
    return 0;
}

static void run(int (*body)(void *arg), void *arg)
{
    int fd_count = count_fds();

    look_at_numbers(inherited);
    assert_int_equal(test_run(body, arg, &narrow_two), 0);
    assert_int_equal(count_fds(), fd_count);
}

static void test_every_row_in_every_ending(void **state)
{
    (void)state;
    run(endings_body, NULL);
}

static void test_every_row_when_its_descriptor_is_closed(void **state)
{
    struct loss loss = { check_close };

    (void)state;
    run(losses_body, &loss);
}

static void test_every_row_when_its_peer_goes(void **state)
{
    struct loss loss = { check_hang_up };

    (void)state;
    run(losses_body, &loss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_every_row_in_every_ending),
        cmocka_unit_test(test_every_row_when_its_descriptor_is_closed),
        cmocka_unit_test(test_every_row_when_its_peer_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
