/* SPDX-License-Identifier: MIT */
/* For those who look at who waits for a semaphore. */
#ifndef WEIR_SYNC_SEMAPHORE_H
#define WEIR_SYNC_SEMAPHORE_H

#include "core/wait.h"

#include <weir/semaphore.h>

/* Why one waits for a permit; the object is the semaphore. */
extern const struct weir__reason weir__semaphore_awaits;

#endif
