/* SPDX-License-Identifier: MIT */
/* each: element by element, until the first error. */
#include "flow/call_fixture.h"

enum { BAD_ELEMENT = 7, BIG_BYTES = 1000 };

struct shop {
    struct weir_chan *port;
    struct weir_chan *input;
    atomic_long busy; /* handlers now */
    uint64_t next;    /* the element that must come */
    atomic_long dropped;
    uint64_t last_dropped;
};

static int handle_in_order(const void *request, void *response, void *context)
{
    struct shop *shop = context;
    uint64_t elem = *(const uint64_t *)request;
    int error;

    CHECK(response == NULL);
    CHECK_SAME(atomic_fetch_add(&shop->busy, 1), 0);
    CHECK_SAME(elem, shop->next);
    error = weir_yield();
    shop->next++;
    atomic_fetch_sub(&shop->busy, 1);
    return error < 0 ? error : elem == BAD_ELEMENT ? -EBADMSG : 1;
}

static void note_drop(void *elem, void *context, enum weir_drop_reason reason)
{
    struct shop *shop = context;

    CHECK_SAME(reason, WEIR_DROP_DISCARD);
    shop->last_dropped = *(uint64_t *)elem;
    shop->dropped++;
}

static void shop_open(struct scene *scene, struct shop *shop)
{
    struct weir_chan_options noted = { .drop = note_drop, .context = shop };

    *shop = (struct shop){ .next = 1 };
    CHECK_SAME(weir_port_create(&shop->port, NULL, sizeof(uint64_t), 0), 0);
    CHECK_SAME(weir_chan_create(&shop->input, sizeof(uint64_t), scene->capacity, &noted), 0);
    serve_at(scene, 0,
             (struct serving){ scene->scope, shop->port, handle_in_order, shop,
                               &(struct weir_serve_options){ .parallelism = 2 } });
}

static void shop_close(struct shop *shop)
{
    CHECK_SAME(weir_chan_close(shop->port, 0), 0);
    CHECK_SAME(weir_chan_release(shop->port), 0);
    CHECK_SAME(weir_chan_release(shop->input), 0);
}

struct round {
    struct actor actor;
    struct shop *shop;
    uint64_t handled;
    int64_t deadline_ns;
    int result;
};

static int run_each(void *arg)
{
    struct round *round = arg;

    round->result =
        weir_each(round->shop->input, round->shop->port, &round->handled, round->deadline_ns);
    return 0;
}

static void begin_each(struct scene *scene, struct round *round, struct shop *shop)
{
    *round = (struct round){ .shop = shop, .handled = 99, .deadline_ns = WEIR_FOREVER };
    actor_start(scene, &round->actor, run_each, round);
}

CASE(each_handles_one_after_the_other_to_the_end, EVERYWHERE, ANY_CAPACITY)
{
    struct shop shop;
    struct round round;

    shop_open(scene, &shop);
    begin_each(scene, &round, &shop);
    for (uint64_t elem = 1; elem < BAD_ELEMENT; elem++)
        CHECK_SAME(weir_chan_send(shop.input, &elem, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chan_close(shop.input, 0), 0);
    actor_join(&round.actor);
    CHECK_SAME(round.result, 0);
    CHECK_SAME(round.handled, BAD_ELEMENT - 1);
    CHECK_SAME(shop.dropped, 0);
    shop_close(&shop);
}

CASE(each_stops_at_the_first_error, EVERYWHERE, ANY_CAPACITY)
{
    struct shop shop;
    struct round round;
    uint64_t after = BAD_ELEMENT + 1;

    shop_open(scene, &shop);
    begin_each(scene, &round, &shop);
    for (uint64_t elem = 1; elem <= BAD_ELEMENT; elem++)
        CHECK_SAME(weir_chan_send(shop.input, &elem, WEIR_FOREVER), 0);
    actor_join(&round.actor);
    CHECK_SAME(round.result, -EBADMSG);
    CHECK_SAME(round.handled, BAD_ELEMENT - 1);
    CHECK_SAME(shop.dropped, 1);
    CHECK_SAME(shop.last_dropped, BAD_ELEMENT);
    CHECK(!look(shop.input).closed);
    CHECK_SAME(weir_chan_send(shop.input, &after, WEIR_NOW), scene->capacity ? 0 : -EAGAIN);
    if (scene->capacity)
        take_value(shop.input, after);
    shop_close(&shop);
}

CASE(each_returns_the_reason_of_the_end, EVERYWHERE, ANY_CAPACITY)
{
    struct shop shop;
    struct round round;

    shop_open(scene, &shop);
    begin_each(scene, &round, &shop);
    for (uint64_t elem = 1; elem < 4; elem++)
        CHECK_SAME(weir_chan_send(shop.input, &elem, WEIR_FOREVER), 0);
    CHECK_SAME(weir_chan_close(shop.input, -EIO), 0);
    actor_join(&round.actor);
    CHECK_SAME(round.result, -EIO);
    CHECK_SAME(round.handled, 3);
    shop_close(&shop);
}

CASE(each_without_a_server_gives_the_element_to_drop, EVERYWHERE, ANY_CAPACITY)
{
    struct shop shop;
    struct round round;
    uint64_t elem = 1;

    shop_open(scene, &shop);
    CHECK_SAME(weir_chan_close(shop.port, 0), 0);
    begin_each(scene, &round, &shop);
    CHECK_SAME(weir_chan_send(shop.input, &elem, WEIR_FOREVER), 0);
    actor_join(&round.actor);
    CHECK_SAME(round.result, -EPIPE);
    CHECK_SAME(round.handled, 0);
    CHECK_SAME(shop.dropped, 1);
    CHECK_SAME(weir_chan_release(shop.port), 0);
    CHECK_SAME(weir_chan_release(shop.input), 0);
}

CASE(each_ends_by_deadline_and_cancel, EVERYWHERE, ANY_CAPACITY)
{
    struct shop shop;
    struct round round;
    uint64_t elem = 1;

    shop_open(scene, &shop);
    CHECK_SAME(weir_each(shop.input, shop.port, NULL, weir_in_us(100)), -ETIME);
    CHECK_SAME(weir_each(shop.input, shop.port, NULL, WEIR_NOW), -EAGAIN);
    if (scene->setting != WITH_THREAD) {
        begin_each(scene, &round, &shop);
        CHECK_SAME(weir_chan_send(shop.input, &elem, WEIR_FOREVER), 0);
        await_receivers(shop.input, 1);
        CHECK_SAME(shop.next, 2);
        weir_task_cancel(round.actor.task);
        actor_join(&round.actor);
        CHECK_SAME(round.result, -ECANCELED);
        CHECK_SAME(round.handled, 1);
    }
    shop_close(&shop);
}

static int sum_up(const void *request, void *response, void *context)
{
    const unsigned char *bytes = request;

    (void)response;
    for (size_t i = 0; i < BIG_BYTES; i++)
        *(long *)context += bytes[i];
    return 0;
}

CASE(each_moves_large_elements, EVERYWHERE, 1)
{
    unsigned char big[BIG_BYTES];
    struct weir_chan *input, *port;
    uint64_t handled = 0;
    long sum = 0;

    memset(big, 3, sizeof big);
    CHECK_SAME(weir_chan_create(&input, sizeof big, 1, NULL), 0);
    CHECK_SAME(weir_port_create(&port, NULL, sizeof big, 0), 0);
    serve_at(scene, 0, (struct serving){ scene->scope, port, sum_up, &sum, NULL });
    CHECK_SAME(weir_chan_send(input, big, WEIR_NOW), 0);
    CHECK_SAME(weir_chan_close(input, 0), 0);
    CHECK_SAME(weir_each(input, port, &handled, WEIR_FOREVER), 0);
    CHECK_SAME(handled, 1);
    CHECK_SAME(sum, 3 * BIG_BYTES);
    weir_chan_close(port, 0);
    weir_chan_release(port);
    weir_chan_release(input);
}

CASE(each_refuses_what_does_not_fit, ALONE, 1)
{
    struct weir_chan *input = make_chan(1, NULL), *answering, *narrow, *port;

    (void)scene;
    CHECK_SAME(weir_port_create(&port, NULL, sizeof(uint64_t), 0), 0);
    CHECK_SAME(weir_port_create(&answering, NULL, sizeof(uint64_t), 1), 0);
    CHECK_SAME(weir_port_create(&narrow, NULL, sizeof(uint32_t), 0), 0);
    CHECK_SAME(weir_each(NULL, port, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_each(input, NULL, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_each(input, input, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_each(input, answering, NULL, WEIR_NOW), -EINVAL);
    CHECK_SAME(weir_each(input, narrow, NULL, WEIR_NOW), -EINVAL);
    weir_chan_release(input);
    weir_chan_release(answering);
    weir_chan_release(narrow);
    weir_chan_release(port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_handles_one_after_the_other_to_the_end),
        cmocka_unit_test(each_stops_at_the_first_error),
        cmocka_unit_test(each_returns_the_reason_of_the_end),
        cmocka_unit_test(each_without_a_server_gives_the_element_to_drop),
        cmocka_unit_test(each_ends_by_deadline_and_cancel),
        cmocka_unit_test(each_moves_large_elements),
        cmocka_unit_test(each_refuses_what_does_not_fit),
    };

    return cmocka_run_group_tests(tests, set_stage, NULL);
}
