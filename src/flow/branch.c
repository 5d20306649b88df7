/* SPDX-License-Identifier: MIT */
/* Several functions at once: a scope, and a child for each of them. */
#include "core/scope.h"
#include "core/task.h"

#include <weir/branch.h>

#include <errno.h>
#include <string.h>

/* Each failure stands in its branch. */
static void hear(void *context, const struct weir_failure *failure)
{
    (void)context;
    (void)failure;
}

static int run_branch(void *arg)
{
    struct weir_branch *branch = arg;

    branch->result = branch->fn(branch->arg);
    return branch->result;
}

static int check(const struct weir_branch *branches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct weir_branch *branch = &branches[i];

        for (size_t j = 0; j < sizeof branch->reserved / sizeof branch->reserved[0]; j++)
            if (branch->reserved[j])
                return -EINVAL;
        if (!branch->fn)
            return -EINVAL;
        if (branch->name && strlen(branch->name) >= WEIR_NAME_BYTES)
            return -E2BIG;
    }
    return 0;
}

/* Begins all, or as many as can be had: then an error. */
static int begin(struct weir_scope *scope, struct weir_branch *branches, size_t count,
                 const void *spawned_at)
{
    int error = 0;

    for (size_t i = 0; i < count; i++)
        branches[i].result = -ECANCELED;
    for (size_t i = 0; i < count && error >= 0; i++) {
        struct weir_spawn_options options = {
            .name = branches[i].name ? branches[i].name : "branch",
        };

        error = weir__task_spawn(scope, run_branch, &branches[i], &options, spawned_at);
        if (error < 0)
            branches[i].result = error;
    }
    return error;
}

/* What joining says, and who decided. */
static int run(enum weir_scope_kind kind, struct weir_branch *branches, size_t count,
               int64_t deadline_ns, struct weir_scope_outcome *outcome, const void *spawned_at)
{
    static const struct weir_scope_options options = { .name = "branches", .on_failure = hear };
    struct weir_scope *scope;
    int error, joined;

    if (count && !branches)
        return -EINVAL;
    error = check(branches, count);
    if (error < 0)
        return error;
    if (!weir__loop_current)
        return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
    error = weir_scope_create(&scope, kind, &options);
    if (error < 0)
        return error;
    weir__scope_promise_deadline(scope, deadline_ns);
    error = begin(scope, branches, count, spawned_at);
    if (error < 0)
        weir_scope_cancel(scope);
    joined = weir_scope_join_outcome(scope, outcome, deadline_ns);
    return error < 0 ? error : joined;
}

static bool have_all_succeeded(const struct weir_branch *branches, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (branches[i].result < 0)
            return false;
    return true;
}

int weir_all(struct weir_branch *branches, size_t count, int64_t deadline_ns)
{
    int result =
        run(WEIR_SCOPE_FAIL_FAST, branches, count, deadline_ns, NULL, __builtin_return_address(0));

    if (result == -ETIME || result == -ECANCELED)
        if (have_all_succeeded(branches, count))
            return 0; /* it came too late: it hides nothing */
    return result;
}

/* The index of who decided, though not all could be begun; or why nobody did. */
static int run_race(enum weir_scope_kind kind, struct weir_branch *branches, size_t count,
                    int64_t deadline_ns, const void *spawned_at)
{
    struct weir_scope_outcome outcome = { .has_winner = false };
    int result;

    if (!count || count > INT32_MAX)
        return -EINVAL;
    result = run(kind, branches, count, deadline_ns, &outcome, spawned_at);
    if (outcome.has_winner)
        return (int)((struct weir_branch *)outcome.winner.arg - branches);
    return result;
}

int weir_race(struct weir_branch *branches, size_t count, int64_t deadline_ns)
{
    return run_race(WEIR_SCOPE_RACE, branches, count, deadline_ns, __builtin_return_address(0));
}

int weir_any(struct weir_branch *branches, size_t count, int64_t deadline_ns)
{
    return run_race(WEIR_SCOPE_ANY, branches, count, deadline_ns, __builtin_return_address(0));
}
