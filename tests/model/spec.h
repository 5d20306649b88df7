/* SPDX-License-Identifier: MIT */
/*
 * The specification: channels as a sequential program. Every call has its effect at one instant
 * between its call and its return; a parked one may have it later, by a peer, a deadline or a
 * cancel. spec.c says which effects; all that its order of steps can lead to is allowed.
 */
#ifndef WEIR_TESTS_MODEL_SPEC_H
#define WEIR_TESTS_MODEL_SPEC_H

#include "model/program.h"
#include "model/set.h"

/* All outcomes that the program may have, among them those in which somebody stays parked. Returns
 * how many states it took to find them. */
size_t spec_explore(const struct program *program, struct set *allowed);

#endif
