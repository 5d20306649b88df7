/* SPDX-License-Identifier: MIT */
/* The gate of each thread: open, until a loop that is checked shuts its own. */
#include "base/exempt.h"

__thread struct weir__exempt weir__exempt
    __attribute__((tls_model("initial-exec"), visibility("hidden")));
