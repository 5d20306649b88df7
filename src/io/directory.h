/* SPDX-License-Identifier: MIT */
/* The row that reads directories: a batch of entries into `address`, on the pool. */
#ifndef WEIR_IO_DIRECTORY_H
#define WEIR_IO_DIRECTORY_H

#include "io/op.h"

int64_t weir__directory_call_getdents(struct weir__op *op);

#endif
