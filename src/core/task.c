/* SPDX-License-Identifier: MIT */
/*
 * Tasks: spawn, run, end; cancel. Joining and reporting are in join.c.
 *
 * A spawn from elsewhere builds the struct, links it into its scope, and mails it; the home loop
 * gives it a stack, or keeps it among the arrivals until there is room.
 */
#include "core/task.h"

#include "base/clock.h"
#include "core/callback.h"
#include "core/join.h"
#include "core/local.h"
#include "core/park.h"
#include "core/room.h"
#include "core/scope.h"

#include <errno.h>
#include <string.h>

enum {
    CACHE_MAX = 4096, /* task structs kept per loop */
    COLOURS = 16,     /* stack tops are spread over 16 cache lines, or they would share few sets */
    COLOUR_BYTES = 64,
};

void weir__task_prepare_ends(struct weir_task *task)
{
    if (task->has_ends)
        return;
    task->has_ends = true;
    weir__list_init(&task->ends);
    weir__list_init(&task->scopes);
    task->call = NULL;
}

void weir__task_add_end(struct weir_task *task, struct weir__task_end *end)
{
    weir__task_prepare_ends(task);
    weir__list_append(&task->ends, &end->link);
}

static struct weir__task_end *pop_end(struct weir_task *task)
{
    struct weir__list *link;

    weir__lock_acquire(&task->lock);
    link = weir__list_pop(&task->ends);
    weir__lock_release(&task->lock);
    return link ? WEIR_CONTAINER_OF(link, struct weir__task_end, link) : NULL;
}

static void drop_locals(struct weir_task *task)
{
    weir__inherited_replace(&task->inherited, &weir__inherited_nothing);
}

static __attribute__((noinline)) void run_ends(struct weir_task *task)
{
    struct weir__task_end *end;

    while ((end = pop_end(task)))
        end->run(end);
    weir__scope_orphan_owned(task);
    drop_locals(task);
}

static void task_main(void *arg)
{
    struct weir_task *task = arg;
    struct weir__loop *loop = task->wait.loop;
    bool keep_reference;

    weir__fiber_begin();
    task->result = task->fn(task->arg);
    WEIR_ASSERT(task->shield_depth == 0);
    if (WEIR_UNLIKELY(task->has_ends))
        run_ends(task);
    keep_reference = weir__join_task_ended(loop, task);
    if (WEIR_LIKELY(task->scope != NULL && !keep_reference))
        weir__task_leave_room(loop);
    weir__sched_exit(loop, keep_reference);
}

/* Levels that others read. */
static inline void publish_count(struct weir__loop *loop)
{
    weir__counter_set(&loop->counters, WEIR_TASKS_NOW, loop->task_count);
    weir__counter_raise(&loop->counters, WEIR_TASKS_MAX, loop->task_count);
}

/* Gives the task a stack and makes it ready. */
static int start(struct weir__loop *loop, struct weir_task *task)
{
    size_t colour = (weir__random_next(&loop->random) >> 60) % COLOURS * COLOUR_BYTES;
    int error = weir__stack_acquire(&loop->stacks, task->stack_bytes, &task->stack);

    if (error < 0)
        return error;
    weir__fiber_init(&task->fiber, task->stack,
                     (char *)task->stack->base + task->stack->bytes - colour, task_main, task);
    weir__list_append(&loop->tasks, &task->neighbours);
    weir__sched_ready(loop, task);
    weir__counter_add(&loop->counters, WEIR_TASKS_STARTED, 1);
    return 0;
}

/* A task from elsewhere gets its stack, and the room. Without a stack it ends unrun, with the error
 * as its result. Returns whether the room is taken: by the task, or by the report of its error. */
static bool start_arrival(struct weir__loop *loop, struct weir_task *task)
{
    int error;

    weir__credits_give_as(&loop->arrivals_credits, task->inherited.priority);
    error = start(loop, task);
    if (error < 0) {
        task->result = error;
        drop_locals(task);
        if (!weir__join_task_ended(loop, task)) {
            weir__task_unref(task);
            return false;
        }
    }
    loop->task_count++;
    publish_count(loop);
    return true;
}

static void deliver_arrival(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir_task *task = weir__task_of_mail(mail);

    if (loop->task_count < loop->task_limit) {
        start_arrival(loop, task);
        return;
    }
    weir__queue_push(&loop->arrivals[task->inherited.priority], mail);
    loop->room_wanted++;
}

static struct weir_task *pop_arrival(struct weir__loop *loop, enum weir_priority class)
{
    loop->room_wanted--;
    return weir__task_of_mail(weir__queue_pop(&loop->arrivals[class]));
}

/* Gives the room to who waits longest of the class whose turn it is. */
static __attribute__((noinline)) void pass_room_on(struct weir__loop *loop)
{
    unsigned waiting;

    while ((waiting = weir__room_find_waiting(loop))) {
        enum weir_priority class = weir__shares_take(&loop->room_shares, waiting);
        struct weir__waiter *waiter;

        if (weir__room_is_for_arrival(loop, class)) {
            if (start_arrival(loop, pop_arrival(loop, class)))
                return;
        } else if ((waiter = weir__waiter_claim_first(&loop->room_waiters[class]))) {
            loop->task_count++; /* the room is the waiter's: nobody overtakes it */
            weir__wait_wake(waiter->wait);
            return;
        }
    }
}

void weir__task_leave_room(struct weir__loop *loop)
{
    weir__counter_set(&loop->counters, WEIR_TASKS_NOW, --loop->task_count);
    weir__room_came(loop);
    if (WEIR_UNLIKELY(loop->room_wanted > 0))
        pass_room_on(loop);
}

static struct weir_task *task_alloc(struct weir__loop *current)
{
    struct weir__mail *mail = current ? current->free_tasks : NULL;

    if (WEIR_LIKELY(mail != NULL)) {
        current->free_tasks = mail->next;
        current->free_count--;
        return weir__task_of_mail(mail);
    }
    return weir__memory_alloc(current ? current->heap : NULL, sizeof(struct weir_task));
}

static void task_free(struct weir_task *task)
{
    struct weir__loop *current = weir__loop_current;

    if (WEIR_LIKELY(current && current->free_count < CACHE_MAX)) {
        task->wait.mail.next = current->free_tasks;
        current->free_tasks = &task->wait.mail;
        current->free_count++;
        return;
    }
    weir__memory_free(task);
}

void weir__task_unref(struct weir_task *task)
{
    /* acquire; pairs with the release below. Nobody can add to the last reference. */
    if (WEIR_LIKELY(atomic_load_explicit(&task->refs, memory_order_acquire) == 1) ||
        /* acq_rel: whoever frees has seen what the others wrote */
        atomic_fetch_sub_explicit(&task->refs, 1, memory_order_acq_rel) == 1)
        task_free(task);
}

void weir__task_drop_cache(struct weir__loop *loop)
{
    struct weir__mail *mail;

    while ((mail = loop->free_tasks)) {
        loop->free_tasks = mail->next;
        weir__memory_free(weir__task_of_mail(mail));
    }
    loop->free_count = 0;
}

/* A new task has waited for its first turn. */
static const struct weir__reason awaits_start = { "start", WEIR_PHASE_SPAWN_QUEUE, NULL };

static inline __attribute__((always_inline)) void
task_init(struct weir_task *task, struct weir__loop *home, weir_task_fn *fn, void *arg,
          const struct weir__inherited *inherited, int64_t now_ns, const void *spawned_at)
{
    atomic_init(&task->wait.word, WEIR__WAIT_IDLE);
    task->wait.loop = home;
    task->wait.interrupt = NULL;
    task->wait.reason = &awaits_start;
    task->stack = NULL;
    task->fn = fn;
    task->arg = arg;
    task->cancelled = false;
    task->has_handle = false;
    task->shield_depth = 0;
    task->inherited = *inherited;
    task->born_ns = task->since_ns = task->ready_ns = now_ns;
    task->expired_phase = WEIR_PHASE_NONE;
    task->deadline_ns = WEIR_FOREVER;
    task->spawned_at = spawned_at;
    atomic_init(&task->lock.held, 0);
    task->ended = false;
    task->released = true;
    task->unreported = false;
    weir__list_init(&task->joiners);
    task->has_ends = false;
    task->scope = NULL;
    weir__list_init(&task->sibling);
    atomic_init(&task->refs, 1);
    atomic_init(&task->cancel_posted, false);
    task->loop_index = home->index;
    task->stack_bytes = 0; /* the pool's default */
    memcpy(task->name, "task", 5);
}

static __attribute__((noinline)) void init_from_thread(struct weir_task *task,
                                                       struct weir__loop *home, weir_task_fn *fn,
                                                       void *arg, const void *spawned_at)
{
    task_init(task, home, fn, arg, &weir__inherited_of_thread, weir__clock_now(), spawned_at);
}

struct weir_task *weir__task_create_main(struct weir__loop *loop, const char *name)
{
    struct weir_task *task = task_alloc(loop);

    if (!task)
        return NULL;
    task_init(task, loop, NULL, NULL, &weir__inherited_nothing, loop->now_ns, NULL);
    strcpy(task->name, name);
    weir__fiber_init_thread(&task->fiber);
    return task;
}

struct weir_task *weir__task_spawn_internal(struct weir__loop *loop, const char *name,
                                            weir_task_fn *fn, void *arg)
{
    struct weir_task *task = task_alloc(loop);

    if (!task)
        return NULL;
    task_init(task, loop, fn, arg, &weir__inherited_nothing, loop->now_ns, NULL);
    strcpy(task->name, name);
    if (start(loop, task) < 0) {
        task_free(task);
        return NULL;
    }
    return task;
}

/* A place among those on their way to another loop. */
static __attribute__((noinline)) int take_way(struct weir__loop *home,
                                              const struct weir_spawn_options *options,
                                              struct weir__patience *patience)
{
    return weir__credits_take_as(&home->arrivals_credits, weir__room_class(options),
                                 patience ? weir__patience_until(patience, weir__clock_now())
                                          : WEIR_NOW);
}

/* Takes room for a task on its home: a place among its tasks, or among those on their way. */
static inline __attribute__((always_inline)) int take_room(struct weir__loop *home,
                                                           const struct weir_spawn_options *options,
                                                           struct weir__patience *patience)
{
    if (home != weir__loop_current)
        return take_way(home, options, patience);
    if (WEIR_UNLIKELY(home->task_count >= home->task_limit))
        return weir__room_wait_for_place(home, patience);
    home->task_count++;
    return 0;
}

static void give_room(struct weir__loop *home, const struct weir_spawn_options *options)
{
    if (home != weir__loop_current) {
        weir__credits_give_as(&home->arrivals_credits, weir__room_class(options));
        return;
    }
    weir__task_leave_room(home);
}

/* The loop with the fewest tasks, by a look at each; ties go round. */
static struct weir__loop *least_loaded(struct weir__runtime *runtime)
{
    unsigned first = atomic_fetch_add_explicit(&runtime->place_next, 1, memory_order_relaxed);
    struct weir__loop *best = NULL;
    uint64_t best_count = UINT64_MAX;

    for (unsigned i = 0; i < runtime->loop_count; i++) {
        struct weir__loop *loop = runtime->loops[(first + i) % runtime->loop_count];
        uint64_t count = weir__counter_get(&loop->counters, WEIR_TASKS_NOW);

        if (count < best_count) {
            best = loop;
            best_count = count;
        }
    }
    return best;
}

static int find_home(struct weir_scope *scope, const struct weir_spawn_options *options,
                     struct weir__loop **home)
{
    struct weir__loop *current = weir__loop_current;
    struct weir__runtime *runtime = current ? current->runtime : scope->runtime;

    if (!runtime)
        return -ENXIO;
    switch (options->place) {
    case WEIR_PLACE_HERE:
        *home = current ? current : least_loaded(runtime);
        return 0;
    case WEIR_PLACE_ANYWHERE:
        *home = least_loaded(runtime);
        return 0;
    case WEIR_PLACE_LOOP:
        if (options->loop_index >= runtime->loop_count)
            return -EINVAL;
        *home = runtime->loops[options->loop_index];
        return 0;
    default:
        return -EINVAL;
    }
}

static int check_options(const struct weir_spawn_options *options)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    if (options->wait_ns < 0 || options->stack_bytes > WEIR__STACK_BYTES_MAX)
        return -EINVAL;
    if (options->priority > WEIR_PRIORITY_BACKGROUND)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    if (options->name && strlen(options->name) >= WEIR_NAME_BYTES)
        return -E2BIG;
    return 0;
}

/* Whoever spawns sees to it that its values outlive the spawn. */
static __attribute__((noinline)) void inherit_locals(struct weir_task *task)
{
    weir__locals_retain(task->inherited.locals);
    weir__task_prepare_ends(task);
}

static void apply_options(struct weir_task *task, const struct weir_spawn_options *options)
{
    if (options->name)
        strcpy(task->name, options->name);
    if (options->stack_bytes)
        task->stack_bytes = options->stack_bytes;
    if (options->sets_priority)
        task->inherited.priority = options->priority;
    if (options->task) {
        task->has_handle = true;
        task->released = false;
        atomic_init(&task->refs, 2);
    }
}

static int try_start(struct weir__loop *loop, void *task)
{
    return start(loop, task);
}

/* Links the task into its scope and sends it on its way. */
static int launch(struct weir__loop *home, struct weir_scope *scope, struct weir_task *task,
                  struct weir__patience *patience)
{
    int error = weir__scope_add(scope, task);

    if (WEIR_UNLIKELY(error < 0)) {
        if (scope->limit)
            weir__scope_leave_place(scope);
        return error;
    }
    if (home != weir__loop_current) {
        task->wait.mail.deliver = deliver_arrival;
        weir__loop_post(home, &task->wait.mail);
        return 0;
    }
    error = start(home, task);
    if (WEIR_UNLIKELY(error == -EAGAIN))
        error = weir__room_wait_for_memory(home, try_start, task, patience);
    task->result = error; /* for the scope, if that is how it ends */
    if (WEIR_UNLIKELY(error < 0))
        weir__scope_remove(scope, task);
    else
        publish_count(home);
    return error;
}

/* Room in the scope, if it is limited, and on the loop: in this order, since a place is worth
 * nothing to others who wait for the loop. */
static inline int take_both(struct weir_scope *scope, struct weir__loop *home,
                            const struct weir_spawn_options *options,
                            struct weir__patience *patience)
{
    int error;

    if (WEIR_LIKELY(!scope->limit))
        return take_room(home, options, patience);
    error = weir__scope_take_place(scope, patience);
    if (error < 0)
        return error;
    error = take_room(home, options, patience);
    if (error < 0)
        weir__scope_leave_place(scope);
    return error;
}

static int spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg,
                 const struct weir_spawn_options *options, const void *spawned_at)
{
    static const struct weir_spawn_options defaults;
    struct weir__loop *current = weir__loop_current, *home = current;
    struct weir__patience patience, *waits = NULL;
    struct weir_task *task;
    int error = weir__wait_check();

    if (WEIR_UNLIKELY(!scope || !fn))
        return -EINVAL;
    if (WEIR_UNLIKELY(error < 0))
        return error;
    if (options || !home) {
        options = options ? options : &defaults;
        error = check_options(options);
        if (error >= 0)
            error = find_home(scope, options, &home);
        if (error < 0)
            return error;
        if (options->wait_ns > 0) {
            patience = (struct weir__patience){ .options = options };
            waits = &patience;
        }
    }
    error = take_both(scope, home, options, waits);
    if (WEIR_UNLIKELY(error < 0))
        return error;
    task = task_alloc(current);
    if (WEIR_UNLIKELY(!task)) {
        give_room(home, options);
        if (scope->limit)
            weir__scope_leave_place(scope);
        return -ENOMEM;
    }
    if (WEIR_LIKELY(current != NULL))
        task_init(task, home, fn, arg, &current->current->inherited, current->now_ns, spawned_at);
    else
        init_from_thread(task, home, fn, arg, spawned_at);
    if (WEIR_UNLIKELY(task->inherited.locals != NULL))
        inherit_locals(task);
    if (options)
        apply_options(task, options);
    if (options && options->task)
        *options->task = task;
    error = launch(home, scope, task, waits);
    if (WEIR_LIKELY(error >= 0))
        return 0;
    drop_locals(task);
    if (task->has_handle)
        weir__task_unref(task);
    weir__task_unref(task); /* not freed yet: a cancel of its scope may be on its way to it */
    give_room(home, options);
    return error;
}

int weir_spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg,
               const struct weir_spawn_options *options)
{
    return spawn(scope, fn, arg, options, __builtin_return_address(0));
}

int weir__task_spawn(struct weir_scope *scope, weir_task_fn *fn, void *arg,
                     const struct weir_spawn_options *options, const void *spawned_at)
{
    return spawn(scope, fn, arg, options, spawned_at);
}

/* Home loop: the cancel has come. */
static void deliver_cancel(struct weir__loop *loop, struct weir__mail *mail)
{
    struct weir_task *task = WEIR_CONTAINER_OF(mail, struct weir_task, cancel_mail);

    weir__counter_add(&loop->counters, WEIR_CANCELS_RECEIVED, 1);
    task->cancelled = true;
    if (task->shield_depth == 0) {
        if (task->has_ends)
            weir__scope_cancel_owned(task);
        if (weir__wait_is_open(&task->wait) && !(task->park_flags & WEIR__PARK_RELEASE))
            weir__wait_interrupt(&task->wait, -ECANCELED);
    }
    weir__task_unref(task);
}

struct weir__loop *weir__task_post_cancel(struct weir_task *task, bool *already)
{
    struct weir__loop *home = task->wait.loop;

    /* relaxed: the mailbox orders what follows */
    *already = atomic_exchange_explicit(&task->cancel_posted, true, memory_order_relaxed);
    if (*already)
        return NULL;
    /* relaxed: the caller holds a reference, or the scope's lock while the task is its child */
    atomic_fetch_add_explicit(&task->refs, 1, memory_order_relaxed);
    task->cancel_mail.deliver = deliver_cancel;
    return weir__loop_push(home, &task->cancel_mail) ? home : NULL;
}

int weir_task_cancel(struct weir_task *task)
{
    struct weir__loop *ring = NULL;
    bool already, ended;

    if (!task)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    weir__lock_acquire(&task->lock);
    ended = task->ended;
    if (!ended)
        ring = weir__task_post_cancel(task, &already);
    weir__lock_release(&task->lock);
    if (ring)
        weir__loop_ring(ring);
    return ended || already ? WEIR_ALREADY : 0;
}
