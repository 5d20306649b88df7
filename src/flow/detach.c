/* SPDX-License-Identifier: MIT */
/* Fire and forget, but into a scope that is bounded and answered for. */
#include "core/scope.h"
#include "core/task.h"

#include <weir/call.h>

#include <errno.h>

int weir_detach(struct weir_scope *scope, weir_task_fn *fn, void *arg,
                const struct weir_spawn_options *options)
{
    struct weir__inherited *own = weir__inherited_self();
    int64_t deadline_ns = own->deadline_ns;
    int error;

    if (!scope || !scope->named || !scope->limit)
        return -EINVAL;
    own->deadline_ns = WEIR_FOREVER;
    error = weir__task_spawn(scope, fn, arg, options, __builtin_return_address(0));
    own->deadline_ns = deadline_ns;
    return error;
}
