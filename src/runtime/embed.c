/* SPDX-License-Identifier: MIT */
/*
 * A runtime whose loop 0 is driven by a foreign loop. The loop is weir's only during a turn: in
 * between its thread is a plain one to weir, so whatever it does to tasks goes through mail, finds
 * the loop asleep, and wakes it as from anywhere else.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "core/drive.h"
#include "runtime/run.h"
#include "watch/check.h"

#include <weir/embed.h>
#include <weir/scope.h>

#include <errno.h>
#include <limits.h>

static const int64_t ns_per_ms = 1000000;

struct weir_embed {
    struct weir__run *run;
    struct weir__run_guest guest;
    struct weir__drive drive;
    struct weir_scope *scope;
    pthread_t thread;
};

/* The thread is the loop's. */
static void begin(struct weir_embed *embed)
{
    weir__loop_current = embed->drive.loop;
    atomic_store(&embed->drive.loop->away, false);
    weir__check_resume(embed->run->check);
    weir__drive_wake(&embed->drive);
}

/* The thread is the caller's again. */
static bool end(struct weir_embed *embed, unsigned round_count)
{
    bool asleep = weir__drive_run(&embed->drive, round_count);

    atomic_store(&embed->drive.loop->away, true);
    weir__check_pause(embed->run->check);
    weir__loop_current = NULL;
    return asleep;
}

static int check(const struct weir_embed *embed)
{
    if (!embed)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    if (!pthread_equal(embed->thread, pthread_self()))
        return -EPERM;
    return weir__loop_current ? -EDEADLK : 0;
}

/* All loops end; on loop 0. */
static void stop(struct weir_embed *embed)
{
    weir__run_stop_loops(embed->run);
    weir__run_leave_guest(embed->run, &embed->guest);
}

/* On the running loop 0: the descriptor and the scope. */
static int equip(struct weir_embed *embed)
{
    struct weir_scope_options options = { .name = "embed" };
    int error = weir__drive_init(&embed->drive, embed->run->loops[0]);

    if (error < 0)
        return error;
    error = weir_scope_create(&embed->scope, WEIR_SCOPE_SUPERVISE, &options);
    if (error < 0)
        weir__drive_term(&embed->drive);
    return error;
}

static int start(struct weir_embed *embed)
{
    int error;

    embed->run->runtime.is_driven = true;
    weir__run_start_threads(embed->run);
    error = weir__run_enter_guest(embed->run, &embed->guest);
    if (error < 0)
        goto join;
    error = equip(embed);
    if (error >= 0)
        return 0;
    stop(embed);
    weir__run_explain(error, "no descriptor or memory for an embed; raise ulimit -n");
join:
    weir__run_join_threads(embed->run);
    weir__run_destroy(embed->run);
    return error;
}

int weir_embed_open(struct weir_embed **out, const struct weir_options *options)
{
    struct weir_embed *embed;
    int error;

    if (!out)
        return -EINVAL;
    embed = weir__memory_init() < 0 ? NULL : weir__memory_zalloc(NULL, sizeof *embed);
    if (!embed)
        return weir__run_explain(-ENOMEM, "out of memory for an embed");
    embed->thread = pthread_self();
    error = weir__run_create(&embed->run, options, false);
    if (error >= 0)
        error = start(embed);
    if (error < 0) {
        weir__memory_free(embed);
        return error;
    }
    end(embed, WEIR_EMBED_ROUNDS);
    *out = embed;
    return 0;
}

int weir_embed_fd(const struct weir_embed *embed)
{
    return embed ? embed->drive.event_fd : -EINVAL;
}

struct weir_scope *weir_embed_scope(const struct weir_embed *embed)
{
    return embed ? embed->scope : NULL;
}

int weir_embed_turn(struct weir_embed *embed)
{
    int error = check(embed);

    if (error < 0)
        return error;
    begin(embed);
    return end(embed, WEIR_EMBED_ROUNDS) ? 0 : 1;
}

int weir_embed_timeout(const struct weir_embed *embed)
{
    int64_t left_ns;

    if (!embed)
        return -EINVAL;
    if (!embed->drive.asleep)
        return 0;
    if (embed->drive.timer_ns == INT64_MAX)
        return -1;
    left_ns = embed->drive.timer_ns - weir__clock_now();
    if (left_ns <= 0)
        return 0;
    return left_ns / ns_per_ms >= INT_MAX ? INT_MAX : (int)((left_ns + ns_per_ms - 1) / ns_per_ms);
}

int weir_embed_close(struct weir_embed *embed, int64_t deadline_ns)
{
    int error = check(embed);

    if (error < 0)
        return error;
    begin(embed);
    error = weir_scope_join(embed->scope, deadline_ns);
    weir__drive_term(&embed->drive);
    stop(embed);
    weir__run_join_threads(embed->run);
    weir__run_destroy(embed->run);
    weir__memory_free(embed);
    return error;
}
