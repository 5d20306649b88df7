/* SPDX-License-Identifier: MIT */
/*
 * The pub: a task that sorts elements into the queues of topics, and owns the table of topics; see
 * command.h for how the verbs reach it. Behind each queue a task of the pub's runs a mult.
 *
 *               first subscriber              last one gone, queue closed and
 *                                                    empty, cancelled
 *   no topic -------------------> LISTED, runs ------------------------------> UNLISTED, ends
 *      ^                                                                            |
 *      `----------------------------------------------------------------------------'
 *                          the task's last act: a command to the pub
 *
 * A topic's mult decides by itself that its last subscriber has gone, and takes no command after
 * that. If the pub finds this out before the command comes, by a new subscriber, a new topic takes
 * the place of the one that ends. Only the pub frees a topic, when the command comes: so it may use
 * whatever is listed. The pub takes commands until the last topic has sent its own.
 *
 *   ROUTING --- the source has ended --> DRAINING --- no topic left --> ENDED
 *      `------- cancelled ----------> CANCELLING ------------^
 */
#include "base/memory.h"
#include "flow/command.h"
#include "flow/mult.h"
#include "flow/options.h"
#include "flow/topic.h"
#include "sync/chan.h"

#include <weir/scope.h>
#include <weir/select.h>

#include <stdatomic.h>

enum {
    TOPIC_CAPACITY = 64,
    TOPICS_MAX = 1024,
    TOPICS_LIMIT = 1 << 20,
    CATCH_UP_TURNS = 8,
};

/* In the caller's frame. */
struct pub_command {
    struct weir__command command;
    int (*carry_out)(struct weir_pub *pub, const struct pub_command *command);
    const struct weir_topic *topic;
    struct weir_chan *chan;
    const struct weir_tap_options *options;
    struct weir_pub_stats *stats;
    struct weir_topic_stats *topic_stats;
    struct weir_tap_stats *taps;
    size_t capacity;
    struct weir__topic *ended;
};

struct weir_pub {
    atomic_uint refs; /* the handles, and the task */

    /* Constant. */
    struct weir_chan *control; /* aborted at the end */
    struct weir_scope *scope;  /* of the topics' tasks; until the pub's task has ended */
    weir_topic_fn *topic_fn;
    void *context;
    enum weir_pub_policy policy;
    size_t topic_capacity;
    size_t topics_max;
    size_t elem_size;
    char name[WEIR_NAME_BYTES];

    /* The task's, and after its end nobody's: constant. */
    struct weir_chan *source; /* a reference; NULL after the end of the source */
    int reason;               /* what subscribers get in the end */
    size_t task_count;        /* topics' tasks that have not sent their last command */
    struct weir__topics topics;
    struct weir_pub_stats stats;

    _Alignas(16) unsigned char elem[]; /* in hand */
};

/* --- Topics --- */

static uint64_t count_dropped(const struct weir__topic *topic)
{
    struct weir_chan_stats stats;

    return weir_chan_read_stats(topic->queue, &stats) == 0 ? stats.dropped_total : 0;
}

static void free_topic(struct weir__topic *topic)
{
    weir_mult_release(topic->mult);
    weir_chan_release(topic->queue);
    weir__memory_free(topic);
}

/* A topic that neither runs nor is listed, in *topic. */
static int make_topic(struct weir_pub *pub, const struct weir_topic *key,
                      struct weir__topic **topic)
{
    const struct weir_chan_options options = {
        .drop = pub->source->drop,
        .context = pub->source->context,
        .retain = pub->source->retain,
    };
    struct weir__topic *made = weir__memory_zalloc(NULL, sizeof *made);
    int error;

    if (!made)
        return -ENOBUFS;
    weir__list_init(&made->listed);
    made->pub = pub;
    made->size = key->size;
    if (key->size)
        memcpy(made->bytes, key->bytes, key->size);
    error = weir_chan_create(&made->queue, pub->elem_size, pub->topic_capacity, &options);
    if (error >= 0)
        error = weir__mult_make(made->queue, true, &made->mult);
    if (error < 0) {
        free_topic(made);
        return -ENOBUFS;
    }
    *topic = made;
    return 0;
}

static int carry_out_end_topic(struct weir_pub *pub, const struct pub_command *command)
{
    pub->stats.dropped_total += count_dropped(command->ended);
    pub->task_count--;
    weir__topics_remove(&pub->topics, command->ended);
    free_topic(command->ended);
    return 0;
}

static int run_topic(void *arg)
{
    struct weir__topic *topic = arg;
    struct weir_chan *control = topic->pub->control;
    struct pub_command last = { .carry_out = carry_out_end_topic, .ended = topic };
    int result = weir__mult_run(topic->mult);

    weir_chan_abort(topic->queue, 0); /* what came after the last subscriber had gone */
    weir_shield_enter();
    (void)weir__command_call(control, &last.command, WEIR_FOREVER);
    weir_shield_leave();
    return result;
}

static int open_topic(struct weir_pub *pub, const struct pub_command *command)
{
    const struct weir_spawn_options options = { .name = pub->name };
    struct weir__topic *topic;
    int error;

    if (pub->topics.count == pub->topics_max) {
        pub->stats.refused_total++;
        return -ENOBUFS;
    }
    error = make_topic(pub, command->topic, &topic);
    if (error < 0)
        return error;
    error = weir__mult_add(topic->mult, command->chan, command->options);
    if (error >= 0)
        error = weir_spawn(pub->scope, run_topic, topic, &options);
    if (error < 0) {
        free_topic(topic);
        return error;
    }
    pub->task_count++;
    weir__topics_add(&pub->topics, topic);
    if (pub->topics.count > pub->stats.topic_count_max)
        pub->stats.topic_count_max = pub->topics.count;
    return 0;
}

/* --- Commands, carried out by the task; after its end by their callers, who find no topic --- */

static int carry_out_sub(struct weir_pub *pub, const struct pub_command *command)
{
    struct weir__topic *topic;

    if (pub->stats.ended) {
        weir__tap_end(command->chan, command->options, pub->reason);
        return 0;
    }
    if (command->chan == pub->source)
        return -EINVAL;
    topic = weir__topics_find(&pub->topics, command->topic);
    if (topic) {
        int result = weir__mult_tap(topic->mult, command->chan, command->options, WEIR_FOREVER);

        if (result != -EPIPE)
            return result;
        weir__topics_remove(&pub->topics, topic);
    }
    return open_topic(pub, command);
}

static int carry_out_unsub(struct weir_pub *pub, const struct pub_command *command)
{
    struct weir__topic *topic = weir__topics_find(&pub->topics, command->topic);

    return topic ? weir_mult_untap(topic->mult, command->chan, WEIR_FOREVER) : WEIR_ALREADY;
}

static int carry_out_unsub_topic(struct weir_pub *pub, const struct pub_command *command)
{
    struct weir__topic *topic = weir__topics_find(&pub->topics, command->topic);

    return topic ? weir_mult_untap_all(topic->mult, WEIR_FOREVER) : WEIR_ALREADY;
}

static int carry_out_unsub_all(struct weir_pub *pub, const struct pub_command *command)
{
    struct weir__topic *topic = NULL;
    int result = WEIR_ALREADY;

    (void)command;
    while ((topic = weir__topics_next(&pub->topics, topic))) {
        int ended = weir_mult_untap_all(topic->mult, WEIR_FOREVER);

        if (ended < 0)
            return ended;
        if (ended == 0)
            result = 0;
    }
    return result;
}

static int carry_out_read_stats(struct weir_pub *pub, const struct pub_command *command)
{
    struct weir_pub_stats *stats = command->stats;
    struct weir__topic *topic = NULL;

    *stats = pub->stats;
    stats->topic_count = pub->topics.count;
    while ((topic = weir__topics_next(&pub->topics, topic)))
        stats->dropped_total += count_dropped(topic);
    return 0;
}

static int carry_out_read_topic_stats(struct weir_pub *pub, const struct pub_command *command)
{
    struct weir_topic_stats *stats = command->topic_stats;
    struct weir__topic *topic = weir__topics_find(&pub->topics, command->topic);
    struct weir_chan_stats queue;
    int error;

    if (!topic)
        return -ENOENT;
    error = weir_chan_read_stats(topic->queue, &queue);
    if (error < 0)
        return error;
    *stats = (struct weir_topic_stats){ .count = queue.count, .capacity = queue.capacity };
    return weir_mult_read_stats(topic->mult, &stats->mult, command->taps, command->capacity,
                                WEIR_FOREVER);
}

static void obey(struct weir_pub *pub, struct weir__command *command)
{
    const struct pub_command *full = WEIR_CONTAINER_OF(command, struct pub_command, command);

    weir__command_answer(command, full->carry_out(pub, full));
}

/* --- The task --- */

/* Waits until the queue takes the element in hand, or ends; obeys meanwhile. */
static int send_parking(struct weir_pub *pub, struct weir_chan *queue)
{
    struct weir__command *command;
    struct weir_clause clauses[] = {
        weir_clause_send(weir_chan_retain(queue), pub->elem), /* its topic may go meanwhile */
        weir_clause_recv(pub->control, &command),
    };
    int won;

    while ((won = weir_select(clauses, 2, WEIR_SELECT_PRIORITY, WEIR_FOREVER)) == 1)
        obey(pub, command);
    weir_chan_release(queue);
    return won < 0 ? won : clauses[0].result;
}

/* The oldest element of a full queue goes to the drop callback. */
static int send_evicting(struct weir_pub *pub, struct weir_chan *queue)
{
    int error = weir_chan_recv(queue, NULL, WEIR_NOW);

    if (error < 0 && error != -EAGAIN)
        return error;
    return weir_chan_send(queue, pub->elem, WEIR_NOW);
}

/*
 * The element in hand, to the topic's queue: 0, or an error, and it is still in hand. Tasks that
 * are always ready share the loop by turns, and a pub could fill the queue in one of its own: so a
 * topic gets some turns to catch up, but only once until it has: a slow one shall not delay others.
 */
static int send_on(struct weir_pub *pub, struct weir__topic *topic)
{
    int result = weir_chan_send(topic->queue, pub->elem, WEIR_NOW);

    for (int turn = 0; result == -EAGAIN && !topic->is_slow && turn < CATCH_UP_TURNS; turn++) {
        result = weir_yield();
        if (result >= 0)
            result = weir_chan_send(topic->queue, pub->elem, WEIR_NOW);
    }
    topic->is_slow = result == -EAGAIN;
    if (topic->is_slow && pub->policy == WEIR_PUB_PARK)
        return send_parking(pub, topic->queue);
    if (topic->is_slow && pub->policy == WEIR_PUB_DROP_OLDEST)
        return send_evicting(pub, topic->queue);
    return result;
}

/* Hands the element on to its topic, or lets it go. Returns 0: a cancel is for the next turn. */
static int route(struct weir_pub *pub)
{
    struct weir_topic key = { 0 };
    int result = pub->topic_fn(pub->elem, &key, pub->context);
    uint64_t *lost_total = &pub->stats.failed_total;

    pub->stats.received_total++;
    if (result >= 0 && weir__topic_is_valid(&key)) {
        struct weir__topic *topic = weir__topics_find(&pub->topics, &key);

        result = topic ? send_on(pub, topic) : -EPIPE;
        if (result >= 0)
            return 0;
        lost_total = result == -EPIPE ? &pub->stats.unheard_total : &pub->stats.dropped_total;
    }
    ++*lost_total;
    weir__chan_discard(pub->source, pub->elem);
    return 0;
}

/* One element or one command. 0; 1 when the source has ended; or an error. */
static int take_turn(struct weir_pub *pub)
{
    struct weir__command *command;
    struct weir_clause clauses[] = {
        weir_clause_recv(pub->source, pub->elem),
        weir_clause_recv(pub->control, &command),
    };
    int won = weir_select(clauses, 2, 0, WEIR_FOREVER);

    if (won < 0)
        return won;
    if (won == 1) {
        obey(pub, command);
        return 0;
    }
    pub->reason = clauses[0].result;
    return pub->reason < 0 ? 1 : route(pub);
}

/* Obeys until no topic is left. 0 or -ECANCELED. */
static int await_topics(struct weir_pub *pub)
{
    while (pub->task_count > 0) {
        struct weir__command *command;
        int error = weir_chan_recv(pub->control, &command, WEIR_FOREVER);

        if (error < 0)
            return error;
        obey(pub, command);
    }
    return 0;
}

/* `result`: of the last turn. Returns 0, or why the topics could not drain. */
static int end(struct weir_pub *pub, int result)
{
    struct weir__topic *topic = NULL;

    pub->stats.ended = true;
    weir_chan_release(pub->source);
    pub->source = NULL;
    while ((topic = weir__topics_next(&pub->topics, topic)))
        weir_chan_close(topic->queue, pub->reason);
    if (result >= 0)
        result = await_topics(pub);
    if (result < 0) {
        weir_scope_cancel(pub->scope);
        weir_shield_enter();
        (void)await_topics(pub);
        weir_shield_leave();
    }
    weir_chan_abort(pub->control, 0);
    return result;
}

static int run(void *arg)
{
    struct weir_pub *pub = arg;
    int result, joined;

    do
        result = take_turn(pub);
    while (result == 0);
    if (result < 0)
        pub->reason = result;
    result = end(pub, result);
    joined = weir_scope_join(pub->scope, WEIR_FOREVER);
    weir_pub_release(pub);
    return result < 0 ? result : joined;
}

/* --- The handle --- */

static int check_options(const struct weir_pub_options *options)
{
    if (options->policy > WEIR_PUB_PARK || options->topics_max > TOPICS_LIMIT)
        return -EINVAL;
    return weir__options_check(options->size, sizeof *options, options->reserved, options->name);
}

/* What it takes besides its own block. */
static int furnish(struct weir_pub *pub)
{
    int error = weir__topics_init(&pub->topics, pub->topics_max);

    if (error >= 0)
        error = weir__command_create_control(&pub->control);
    if (error < 0)
        return error;
    /* Whoever makes the pub need not be of the scope in which its task will run. */
    return weir_scope_create(&pub->scope, WEIR_SCOPE_COLLECT,
                             &(struct weir_scope_options){ .cancel_at_join = true });
}

static int make(struct weir_chan *source, const struct weir_pub_options *options,
                struct weir_pub **pub)
{
    size_t elem_size = weir_chan_elem_size(source);
    struct weir_pub *made = NULL;
    int error;

    if (elem_size <= SIZE_MAX / 4)
        made = weir__memory_zalloc(NULL, sizeof *made + elem_size);
    if (!made)
        return -ENOMEM;
    atomic_init(&made->refs, 1);
    made->source = weir_chan_retain(source);
    made->elem_size = elem_size;
    made->policy = options->policy;
    made->topic_capacity = options->topic_capacity ? options->topic_capacity : TOPIC_CAPACITY;
    made->topics_max = options->topics_max ? options->topics_max : TOPICS_MAX;
    strcpy(made->name, options->name ? options->name : "pub");
    error = furnish(made);
    if (error < 0)
        weir_pub_release(made);
    else
        *pub = made;
    return error;
}

int weir_pub_create(struct weir_scope *scope, struct weir_chan *source, weir_topic_fn *topic_fn,
                    void *context, const struct weir_pub_options *options, struct weir_pub **pub)
{
    static const struct weir_pub_options defaults;
    struct weir_spawn_options task = { 0 };
    struct weir_pub *made;
    int error;

    options = options ? options : &defaults;
    error = check_options(options);
    if (error < 0)
        return error;
    if (!source || !topic_fn || !pub)
        return -EINVAL;
    error = make(source, options, &made);
    if (error < 0)
        return error;
    made->topic_fn = topic_fn;
    made->context = context;
    task.name = made->name;
    error = weir_spawn(scope, run, weir_pub_retain(made), &task);
    if (error < 0) {
        weir_scope_join(made->scope, WEIR_FOREVER);
        weir_pub_release(made); /* the task's */
        weir_pub_release(made);
        return error;
    }
    *pub = made;
    return 0;
}

struct weir_pub *weir_pub_retain(struct weir_pub *pub)
{
    /* relaxed: whoever retains holds a reference */
    atomic_fetch_add_explicit(&pub->refs, 1, memory_order_relaxed);
    return pub;
}

void weir_pub_release(struct weir_pub *pub)
{
    /* acq_rel: the last one sees what the others did before they let go */
    if (!pub || atomic_fetch_sub_explicit(&pub->refs, 1, memory_order_acq_rel) != 1)
        return;
    weir_chan_release(pub->source);
    weir_chan_release(pub->control);
    weir__topics_term(&pub->topics);
    weir__memory_free(pub);
}

/* --- The verbs --- */

/* After the end the pub lies still: the caller carries out the command by itself. */
static int call(struct weir_pub *pub, struct pub_command *command, int64_t deadline_ns)
{
    int result = weir__command_call(pub->control, &command->command, deadline_ns);

    return result == -EPIPE ? command->carry_out(pub, command) : result;
}

int weir_pub_sub(struct weir_pub *pub, const struct weir_topic *topic, struct weir_chan *chan,
                 const struct weir_tap_options *options, int64_t deadline_ns)
{
    struct pub_command command = {
        .carry_out = carry_out_sub,
        .topic = topic,
        .chan = chan,
        .options = options,
    };

    if (!pub || !weir__topic_is_valid(topic) || weir__tap_check(chan, pub->elem_size, options) < 0)
        return -EINVAL;
    return call(pub, &command, deadline_ns);
}

int weir_pub_unsub(struct weir_pub *pub, const struct weir_topic *topic, struct weir_chan *chan,
                   int64_t deadline_ns)
{
    struct pub_command command = { .carry_out = carry_out_unsub, .topic = topic, .chan = chan };

    return pub && weir__topic_is_valid(topic) && chan ? call(pub, &command, deadline_ns) : -EINVAL;
}

int weir_pub_unsub_all(struct weir_pub *pub, const struct weir_topic *topic, int64_t deadline_ns)
{
    struct pub_command command = {
        .carry_out = topic ? carry_out_unsub_topic : carry_out_unsub_all,
        .topic = topic,
    };

    return pub && (!topic || weir__topic_is_valid(topic)) ? call(pub, &command, deadline_ns)
                                                          : -EINVAL;
}

int weir_pub_read_stats(struct weir_pub *pub, struct weir_pub_stats *stats, int64_t deadline_ns)
{
    struct pub_command command = { .carry_out = carry_out_read_stats, .stats = stats };

    return pub && stats ? call(pub, &command, deadline_ns) : -EINVAL;
}

int weir_pub_read_topic_stats(struct weir_pub *pub, const struct weir_topic *topic,
                              struct weir_topic_stats *stats, struct weir_tap_stats *taps,
                              size_t capacity, int64_t deadline_ns)
{
    struct pub_command command = {
        .carry_out = carry_out_read_topic_stats,
        .topic = topic,
        .topic_stats = stats,
        .taps = taps,
        .capacity = capacity,
    };

    if (!pub || !weir__topic_is_valid(topic) || !stats || (!taps && capacity))
        return -EINVAL;
    return call(pub, &command, deadline_ns);
}
