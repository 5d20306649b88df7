/* SPDX-License-Identifier: MIT */
/* Errors that need more than a number: the sentence behind weir_last_error. */
#ifndef WEIR_BASE_EXPLAIN_H
#define WEIR_BASE_EXPLAIN_H

/* Keeps the sentence (cause, evidence, remedy) for the calling thread; returns `error`. On a loop:
 * right before the call returns, since another task may explain something else later. */
int weir__explain(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
