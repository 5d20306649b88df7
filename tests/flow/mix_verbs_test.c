/* SPDX-License-Identifier: MIT */
/* The mix beyond the cases: what its verbs promise, and how it ends. */
#include "base/memory.h"
#include "core/sched.h"
#include "flow/desk.h"

/* One element is in hand when the output goes: the drop callback of its input gets it. */
CASE(element_in_hand_is_dropped_at_the_end, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.a, 0);
    start_feeder(scene, &feeder, desk.a, 1, 1);
    await_senders(desk.output, 1);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(weir_chan_abort(desk.output, 0), 0);
    AWAIT(look_at(desk.mix).ended);
    CHECK_SAME(desk.dropped, 1);
    CHECK_SAME(look_at(desk.mix).sent_total, 0);
    close_desk(&desk);
}

/* Verbs are carried out while the mix waits for its output; what it has in hand is delivered. */
CASE(verbs_while_the_output_waits, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    add(desk.mix, desk.a, 0);
    start_feeder(scene, &feeder, desk.a, 1, scene->capacity + 2);
    await_senders(desk.output, 1);
    await_senders(desk.a, 1);
    CHECK_SAME(weir_mix_remove(desk.mix, desk.a, WEIR_NOW), 0);
    add(desk.mix, desk.b, WEIR_MIX_PAUSE);
    expect_run(desk.output, 1, 1);
    AWAIT(look_at(desk.mix).sent_total == 1);
    CHECK_SAME(look(desk.a).received_total, 1);
    CHECK_SAME(look(desk.a).waiting_receivers, 0);
    add(desk.mix, desk.a, 0);
    expect_run(desk.output, 2, scene->capacity + 1);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(weir_mix_remove_all(desk.mix, end_of_patience()), 0);
    CHECK_SAME(look_at(desk.mix).inputs, 0);
    close_desk(&desk);
}

CASE(bound_on_inputs, ALONE, 1)
{
    struct weir_mix_options options = { .inputs_max = 2 };
    struct weir_chan *third = make_chan(1, NULL);
    struct weir_mix_change changes[2];
    struct desk desk;

    open_desk(scene, &desk, &options);
    add(desk.mix, desk.a, 0);
    changes[0] = (struct weir_mix_change){ .chan = desk.a, .set = WEIR_MIX_MUTE };
    changes[1] = (struct weir_mix_change){ .chan = desk.b };
    CHECK_SAME(weir_mix_toggle(desk.mix, changes, 2, WEIR_FOREVER), 0);
    changes[0].set = WEIR_MIX_PAUSE;
    changes[1].chan = third;
    CHECK_SAME(weir_mix_toggle(desk.mix, changes, 2, WEIR_FOREVER), -ENOBUFS);
    CHECK_SAME(look_at(desk.mix).inputs, 2);
    CHECK_SAME(look_at(desk.mix).inputs_paused, 0);
    CHECK_SAME(look_at(desk.mix).inputs_muted, 1);
    CHECK_SAME(look_at(desk.mix).refused_total, 1);
    CHECK_SAME(weir_mix_remove(desk.mix, desk.b, WEIR_FOREVER), 0);
    add(desk.mix, third, 0);
    close_desk(&desk);
    weir_chan_release(third);
}

/* A verb that the mix does not take: somebody who holds the mix by a drop callback. */
struct held {
    struct weir_chan *gate;
    struct desk desk;
    struct actor actor;
    int result;
};

static void wait_at_the_gate(void *elem, void *context, enum weir_drop_reason reason)
{
    struct held *held = context;

    (void)elem;
    (void)reason;
    CHECK_SAME(weir_chan_recv(held->gate, NULL, end_of_patience()), 0);
}

static int add_b(void *arg)
{
    struct held *held = arg;

    held->result = weir_mix_add(held->desk.mix, held->desk.b, 0, WEIR_FOREVER);
    return 0;
}

CASE(verbs_keep_the_callers_deadline, ON_TASKS, 1)
{
    struct weir_chan_options options = { .drop = wait_at_the_gate };
    struct held held = { .result = 1 };

    open_desk(scene, &held.desk, NULL);
    weir_chan_release(held.desk.a);
    options.context = &held;
    held.desk.a = make_chan(1, &options);
    CHECK_SAME(weir_chan_create(&held.gate, 0, 0, NULL), 0);
    add(held.desk.mix, held.desk.a, WEIR_MIX_MUTE);
    CHECK_SAME(try_send(held.desk.a, 1), 0);
    await_receivers(held.gate, 1);
    CHECK_SAME(weir_mix_add(held.desk.mix, held.desk.b, 0, WEIR_NOW), -EAGAIN);
    CHECK_SAME(weir_mix_add(held.desk.mix, held.desk.b, 0, weir_in_ms(1)), -ETIME);
    actor_start(scene, &held.actor, add_b, &held);
    if (scene->setting == SAME_LOOP)
        weir__sched_settle();
    CHECK_SAME(weir_task_cancel(held.actor.task), 0);
    actor_join(&held.actor);
    CHECK_SAME(held.result, -ECANCELED);
    CHECK_SAME(look_at(held.desk.mix).inputs, 1);
    CHECK_SAME(weir_chan_send(held.gate, NULL, end_of_patience()), 0);
    add(held.desk.mix, held.desk.b, 0);
    CHECK_SAME(look_at(held.desk.mix).inputs, 2);
    close_desk(&held.desk);
    weir_chan_release(held.gate);
}

/* Without handles it lives as long as there is somebody to hear. */
CASE(last_release_lets_it_end, EVERYWHERE, ANY_CAPACITY)
{
    struct feeder feeder;
    struct desk desk;
    struct weir_mix *kept;

    open_desk(scene, &desk, NULL);
    kept = weir_mix_retain(desk.mix);
    add(desk.mix, desk.a, 0);
    add(desk.mix, desk.b, WEIR_MIX_PAUSE);
    weir_mix_release(kept);
    weir_mix_release(desk.mix);
    start_feeder(scene, &feeder, desk.a, 1, FEW);
    expect_run(desk.output, 1, FEW);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    CHECK_SAME(weir_chan_close(desk.a, 0), 0);
    AWAIT(weir_scope_count(scene->scope) == 0 || scene->setting != SAME_LOOP);
    CHECK_SAME(weir_scope_join(scene->scope, end_of_patience()), 0);
    CHECK_SAME(weir_scope_create(&scene->scope, WEIR_SCOPE_SUPERVISE, NULL), 0);
    CHECK(!look(desk.output).closed);
    weir_chan_release(desk.a);
    weir_chan_release(desk.b);
    weir_chan_release(desk.output);
}

CASE(cancelled_mix_drops_what_it_has, ALONE, ANY_CAPACITY)
{
    struct weir_scope *scope;
    struct feeder feeder;
    struct desk desk;
    struct scene inner = *scene;

    CHECK_SAME(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), 0);
    inner.scope = scope;
    open_desk(&inner, &desk, NULL);
    add(desk.mix, desk.a, 0);
    start_feeder(scene, &feeder, desk.a, 1, 1);
    await_senders(desk.output, 1);
    weir_scope_cancel(scope);
    CHECK_SAME(weir_scope_join(scope, end_of_patience()), 0);
    CHECK(look_at(desk.mix).ended);
    CHECK_SAME(desk.dropped, 1);
    check_refusals(&desk);
    CHECK_SAME(actor_join(&feeder.actor), 0);
    close_desk(&desk);
}

CASE(refuses_what_makes_no_sense, ALONE, 0)
{
    struct weir_mix_change bad[] = { { .chan = NULL } };
    struct weir_mix_options options = { .solo_mode = WEIR_MIX_SOLO };
    struct weir_chan *wide;
    struct weir_mix *mix;
    struct desk desk;

    open_desk(scene, &desk, NULL);
    CHECK_SAME(weir_chan_create(&wide, 2 * sizeof(uint64_t), 0, NULL), 0);
    CHECK_SAME(weir_mix_create(scene->scope, desk.output, &options, &mix), -EINVAL);
    options = (struct weir_mix_options){ .size = 1 };
    CHECK_SAME(weir_mix_create(scene->scope, desk.output, &options, &mix), -EINVAL);
    options = (struct weir_mix_options){ .reserved = { 0, 1 } };
    CHECK_SAME(weir_mix_create(scene->scope, desk.output, &options, &mix), -EINVAL);
    options = (struct weir_mix_options){ .name = "a name of thirty-two characters!" };
    CHECK_SAME(weir_mix_create(scene->scope, desk.output, &options, &mix), -E2BIG);
    CHECK_SAME(weir_mix_create(NULL, desk.output, NULL, &mix), -EINVAL);
    CHECK_SAME(weir_mix_add(desk.mix, wide, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_add(desk.mix, desk.output, 0, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_add(desk.mix, desk.a, 8, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_toggle(desk.mix, bad, 1, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_toggle(desk.mix, NULL, 1, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_solo_mode(desk.mix, WEIR_MIX_SOLO, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_remove(NULL, desk.a, WEIR_FOREVER), -EINVAL);
    CHECK_SAME(weir_mix_read_stats(desk.mix, NULL), -EINVAL);
    for (long failing = 1, error = -ENOMEM; error < 0; failing++) {
        weir__memory_fail_after(failing);
        error = weir_mix_create(scene->scope, desk.output, NULL, &mix);
        weir__memory_fail_after(-1);
        CHECK(error == 0 || error == -ENOMEM);
    }
    weir_mix_release(mix);
    weir_chan_release(wide);
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(element_in_hand_is_dropped_at_the_end),
        cmocka_unit_test(verbs_while_the_output_waits),
        cmocka_unit_test(bound_on_inputs),
        cmocka_unit_test(verbs_keep_the_callers_deadline),
        cmocka_unit_test(last_release_lets_it_end),
        cmocka_unit_test(cancelled_mix_drops_what_it_has),
        cmocka_unit_test(refuses_what_makes_no_sense),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
