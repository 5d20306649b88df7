/* SPDX-License-Identifier: MIT */
/* The rows that end the writing of a whole file, on the pool. `fd` is the directory, `other_fd` the
 * file. */
#ifndef WEIR_IO_WHOLE_H
#define WEIR_IO_WHOLE_H

#include "io/op.h"

/* A file on its way to its name. */
struct weir__draft {
    const char *name; /* the target's, in its directory */
    char own_name[32];
    int folder_fd;
    int fd;
    bool has_own_name; /* it stands in the directory */
    bool only_new;
    bool no_sync;
};

int64_t weir__whole_call_publish(struct weir__op *op); /* address: the draft */
int64_t weir__whole_call_discard(struct weir__op *op); /* address: a name; a release call */

#endif
