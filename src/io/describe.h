/* SPDX-License-Identifier: MIT */
/* The row that looks at a descriptor, on the pool: `address` is the struct weir_description. */
#ifndef WEIR_IO_DESCRIBE_H
#define WEIR_IO_DESCRIBE_H

#include "io/op.h"

int64_t weir__describe_call(struct weir__op *op);

#endif
