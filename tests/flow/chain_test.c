/* SPDX-License-Identifier: MIT */
/* Chains: the order of steps, errors, promises kept elsewhere, and the answer. Case 296. */
#include "flow/call_fixture.h"

#include <pthread.h>

enum { STEPS = 4, NOTES = 64 };

/* What a chain does, as text: "+a" entered, "-a" left, "!a" told of an error, "." answered. */
struct request {
    char notes[NOTES];
    struct scene *scene;
    int loop;
    pthread_t thread;
    struct weir_chan *promise;
    int answer;
    int answers;
    const char *failed_step;
    /* What step number i returns from each of its functions; handled errors are 0. */
    int enter[STEPS], leave[STEPS], error[STEPS];
    int passes_on; /* error functions return what they are told */
    int terminate_at;
};

/* Each function notes itself, and that it runs where the chain was started. */
static void note(struct request *request, char sign, int index)
{
    size_t length = strlen(request->notes);

    CHECK_SAME(weir_loop_index(), request->loop);
    CHECK(pthread_equal(pthread_self(), request->thread));
    if (CHECK(length + 2 < NOTES)) {
        request->notes[length] = sign;
        request->notes[length + 1] = (char)('a' + index);
    }
}

static int enter_step(struct weir_chain *chain, void *context, int index)
{
    struct request *request = context;

    note(request, '+', index);
    if (request->terminate_at == index + 1)
        weir_chain_terminate(chain);
    return request->enter[index];
}

static int leave_step(void *context, int index)
{
    struct request *request = context;

    note(request, '-', index);
    return request->leave[index];
}

static int tell_step(void *context, int index, int error)
{
    struct request *request = context;

    note(request, '!', index);
    CHECK(error < 0);
    return request->passes_on ? error : request->error[index];
}

#define STEP(letter, index)                                                                        \
    static int enter_##letter(struct weir_chain *chain, void *context)                             \
    {                                                                                              \
        return enter_step(chain, context, index);                                                  \
    }                                                                                              \
    static int leave_##letter(struct weir_chain *chain, void *context)                             \
    {                                                                                              \
        (void)chain;                                                                               \
        return leave_step(context, index);                                                         \
    }                                                                                              \
    static int error_##letter(struct weir_chain *chain, void *context, int error)                  \
    {                                                                                              \
        CHECK(weir_chain_failed_step(chain) != NULL);                                              \
        return tell_step(context, index, error);                                                   \
    }

STEP(a, 0)
STEP(b, 1)
STEP(c, 2)
STEP(d, 3)

static const struct weir_step steps[STEPS] = {
    { "a", enter_a, leave_a, error_a },
    { "b", enter_b, leave_b, error_b },
    { "c", enter_c, leave_c, error_c },
    { "d", enter_d, leave_d, error_d },
};

static void answer(struct weir_chain *chain, void *context, int result)
{
    struct request *request = context;

    CHECK_SAME(weir_loop_index(), request->loop);
    request->answer = result;
    request->answers++;
    request->failed_step = weir_chain_failed_step(chain);
    CHECK_SAME(weir_yield(), 0); /* a cancel does not come in between */
}

static void check_run(struct request *request, const char *notes, int result, const char *failed)
{
    int returned;

    request->loop = weir_loop_index();
    request->thread = pthread_self();
    returned = weir_chain_run(steps, STEPS, request, answer, WEIR_FOREVER);
    CHECK_SAME(returned, result);
    CHECK_SAME(request->answer, result);
    CHECK_SAME(request->answers, 1);
    if (!CHECK(strcmp(request->notes, notes) == 0))
        fprintf(stderr, "it did %s\n", request->notes);
    CHECK(!failed == !request->failed_step);
    if (failed && request->failed_step)
        CHECK(strcmp(request->failed_step, failed) == 0);
}

static int run_them_all(void *arg)
{
    (void)arg;
    check_run(&(struct request){ 0 }, "+a+b+c+d-d-c-b-a", 0, NULL);
    check_run(&(struct request){ .terminate_at = 2 }, "+a+b-b-a", 0, NULL);
    /* Nobody handles it; it is changed on the way; one handles it. */
    check_run(&(struct request){ .enter[2] = -EIO, .passes_on = 1 }, "+a+b+c!b!a", -EIO, "c");
    check_run(&(struct request){ .enter[2] = -EIO, .error = { -EDOM, -ERANGE } }, "+a+b+c!b!a",
              -EDOM, "a");
    check_run(&(struct request){ .enter[3] = -EIO, .error[2] = -EIO }, "+a+b+c+d!c!b-a", 0, "d");
    check_run(&(struct request){ .enter[0] = -EIO }, "+a", -EIO, "a");
    /* Errors while leaving; and after one was handled. */
    check_run(&(struct request){ .leave[3] = -EIO, .passes_on = 1 }, "+a+b+c+d-d!c!b!a", -EIO, "d");
    check_run(&(struct request){ .leave[0] = -EIO }, "+a+b+c+d-d-c-b-a", -EIO, "a");
    check_run(&(struct request){ .enter[3] = -EIO, .leave[1] = -EDOM }, "+a+b+c+d!c-b!a", 0, "b");
    /* A step that yields nothing definite. */
    check_run(&(struct request){ .enter[1] = 1, .passes_on = 1 }, "+a+b!a", -EPROTO, "b");
    check_run(&(struct request){ .leave[2] = 9, .passes_on = 1 }, "+a+b+c+d-d-c!b!a", -EPROTO, "c");
    check_run(&(struct request){ .enter[1] = -EIO, .error[0] = 5 }, "+a+b!a", -EPROTO, "a");
    return 0;
}

CASE(chain_does_its_steps_in_order, EVERYWHERE, 0)
{
    struct actor actor;

    actor_start(scene, &actor, run_them_all, NULL);
    actor_join(&actor);
}

/* --- Promises --- */

struct keeper {
    struct actor actor;
    struct weir_chan *promise;
    int value;
    bool abandon;
};

static int keep_promise(void *arg)
{
    struct keeper *keeper = arg;

    AWAIT(look(keeper->promise).waiting_receivers == 1);
    if (keeper->abandon)
        CHECK_SAME(weir_chan_close(keeper->promise, 0), 0);
    else
        CHECK_SAME(weir_chan_send(keeper->promise, &keeper->value, WEIR_NOW), 0);
    CHECK_SAME(weir_chan_release(keeper->promise), 0);
    return 0;
}

static struct weir_chan *make_promise(void)
{
    struct weir_chan_options options = { .policy = WEIR_CHAN_PROMISE };
    struct weir_chan *promise = NULL;

    CHECK_SAME(weir_chan_create(&promise, sizeof(int), 1, &options), 0);
    return promise;
}

static int enter_promised(struct weir_chain *chain, void *context)
{
    struct request *request = context;
    int result;

    note(request, '+', 1);
    result = weir_chain_await(chain, request->promise);
    CHECK(result <= 0);
    return result;
}

static const struct weir_step promised_steps[] = {
    { "a", enter_a, leave_a, error_a },
    { "b", enter_promised, leave_b, error_b },
    { "c", enter_c, leave_c, error_c },
};

static int run_promised(struct request *request, int64_t deadline_ns)
{
    int result;

    request->loop = weir_loop_index();
    request->thread = pthread_self();
    result = weir_chain_run(promised_steps, 3, request, answer, deadline_ns);
    CHECK_SAME(request->answer, result);
    CHECK_SAME(request->answers, 1);
    return result;
}

/* On this loop, another one, and a plain thread: the rest of the chain runs at home. */
CASE(case_296_promise_kept_elsewhere_goes_on_at_home, EVERYWHERE, 0)
{
    static const struct {
        int value;
        bool abandon;
        int result;
        const char *notes;
    } rows[] = {
        { 0, false, 0, "+a+b+c-c-b-a" },
        { -EIO, false, -EIO, "+a+b!a" },
        { 3, false, -EPROTO, "+a+b!a" },
        { 0, true, -ENODATA, "+a+b!a" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request request = { .promise = make_promise(), .passes_on = 1 };
        struct keeper keeper = { .value = rows[i].value, .abandon = rows[i].abandon };

        keeper.promise = weir_chan_retain(request.promise);
        actor_start(scene, &keeper.actor, keep_promise, &keeper);
        CHECK_SAME(run_promised(&request, WEIR_FOREVER), rows[i].result);
        CHECK(strcmp(request.notes, rows[i].notes) == 0);
        actor_join(&keeper.actor);
    }
}

/* --- Deadline and cancel --- */

CASE(deadline_is_answered, ON_TASKS, 0)
{
    struct request request = { .promise = make_promise(), .passes_on = 1 };
    struct request late = { .passes_on = 1 };

    (void)scene;
    CHECK_SAME(run_promised(&request, weir_in_us(200)), -ETIME);
    CHECK(strcmp(request.notes, "+a+b!a") == 0);
    CHECK_SAME(run_promised(&late, 1), -ETIME);
    CHECK(strcmp(late.notes, "") == 0);
}

struct runner {
    struct actor actor;
    struct request request;
    int result;
};

static int run_by_actor(void *arg)
{
    struct runner *runner = arg;

    runner->result = run_promised(&runner->request, WEIR_FOREVER);
    return 0;
}

CASE(cancel_is_answered, ON_TASKS, 0)
{
    struct runner runner = { .request = { .promise = make_promise(), .passes_on = 1 } };
    struct weir_chan *promise = weir_chan_retain(runner.request.promise);

    actor_start(scene, &runner.actor, run_by_actor, &runner);
    await_receivers(promise, 1);
    CHECK_SAME(weir_task_cancel(runner.actor.task), 0);
    actor_join(&runner.actor);
    CHECK_SAME(runner.result, -ECANCELED);
    CHECK(strcmp(runner.request.notes, "+a+b!a") == 0);
    CHECK_SAME(weir_chan_release(promise), 0);
}

static int look_at_deadline(struct weir_chain *chain, void *context)
{
    *(int64_t *)context = weir_deadline_ns();
    CHECK_SAME(weir_chain_deadline_ns(chain), *(int64_t *)context);
    return 0;
}

CASE(calls_of_steps_inherit_the_deadline, ON_TASKS, 0)
{
    const struct weir_step step = { .name = "look", .enter = look_at_deadline };
    int64_t deadline_ns = weir_in_seconds(100), seen_ns = 0;

    (void)scene;
    CHECK_SAME(weir_chain_run(&step, 1, &seen_ns, NULL, deadline_ns), 0);
    CHECK_SAME(seen_ns, deadline_ns);
    CHECK_SAME(weir_deadline_ns(), WEIR_FOREVER);
}

/* --- Bad input --- */

static int await_badly(struct weir_chain *chain, void *context)
{
    struct weir_chan *wide = make_chan(1, NULL);

    (void)context;
    CHECK_SAME(weir_chain_await(chain, NULL), -EINVAL);
    CHECK_SAME(weir_chain_await(chain, wide), -EINVAL);
    return 0;
}

CASE(bad_chains_are_answered, ALONE, 0)
{
    const struct weir_step bare = { .name = "bare" }, bad = { .enter = await_badly };
    struct request request = { .loop = weir_loop_index(), .answer = 1 };

    (void)scene;
    CHECK_SAME(weir_chain_run(NULL, 1, &request, answer, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(request.answer, -EINVAL);
    CHECK_SAME(weir_chain_run(NULL, 0, &request, answer, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chain_run(&bare, 1, &request, answer, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chain_run(&bare, 1, &request, answer, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_chain_run(&bad, 1, &request, answer, WEIR_FOREVER), 0);
    CHECK_SAME(request.answers, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_does_its_steps_in_order),
        cmocka_unit_test(case_296_promise_kept_elsewhere_goes_on_at_home),
        cmocka_unit_test(deadline_is_answered),
        cmocka_unit_test(cancel_is_answered),
        cmocka_unit_test(calls_of_steps_inherit_the_deadline),
        cmocka_unit_test(bad_chains_are_answered),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
