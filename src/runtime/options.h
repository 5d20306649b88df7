/* SPDX-License-Identifier: MIT */
/* Options: validated, defaults filled in, and fitted to this machine. */
#ifndef WEIR_OPTIONS_H
#define WEIR_OPTIONS_H

#include "runtime/machine.h"

#include <weir/runtime.h>

/*
 * Copies `given` (NULL: all defaults) to `options` with every default filled in. `one_loop` makes
 * one loop the default count. -EINVAL with the reason in `why` for anything out of range. `machine`
 * is restricted to the CPUs that the options name.
 */
int weir__options_fill(struct weir_options *options, const struct weir_options *given,
                       struct weir__machine *machine, bool one_loop, char *why, size_t why_bytes);

#endif
