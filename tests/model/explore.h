/* SPDX-License-Identifier: MIT */
/*
 * Makes every move that is possible in every state a program can come to, on the machine: nothing
 * is sampled, and the number of switches between tasks has no bound. A state that was reached
 * before is not gone on from again. Each end is held against the specification.
 */
#ifndef WEIR_TESTS_MODEL_EXPLORE_H
#define WEIR_TESTS_MODEL_EXPLORE_H

#include "model/program.h"
#include "model/set.h"

struct tally {
    size_t programs;
    size_t moves;    /* made */
    size_t states;   /* different ones, with more than one move */
    size_t ends;     /* reached */
    size_t outcomes; /* different ones, in all programs */
    size_t allowed;  /* by the specification */
};

/* Aborts, with a report of how it came about, at the first thing that must not be. */
void explore(const struct program *program, const struct set *allowed, struct tally *tally);

#endif
