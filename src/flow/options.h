/* SPDX-License-Identifier: MIT */
/* What every options struct of this room has in common: a size, a name, reserved words. */
#ifndef WEIR_FLOW_OPTIONS_H
#define WEIR_FLOW_OPTIONS_H

#include <weir/task.h>

#include <errno.h>
#include <string.h>

enum { WEIR__OPTIONS_RESERVED = 4 };

/* 0; -EINVAL another size, or a reserved word that is not zero; -E2BIG name too long. */
static inline int weir__options_check(size_t size, size_t own_size,
                                      const uint64_t reserved[WEIR__OPTIONS_RESERVED],
                                      const char *name)
{
    if (size && size != own_size)
        return -EINVAL;
    for (size_t i = 0; i < WEIR__OPTIONS_RESERVED; i++)
        if (reserved[i])
            return -EINVAL;
    return name && strlen(name) >= WEIR_NAME_BYTES ? -E2BIG : 0;
}

#endif
