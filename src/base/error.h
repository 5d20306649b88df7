/* SPDX-License-Identifier: MIT */
/* Failures in words: what weir_last_error says. */
#ifndef WEIR_BASE_ERROR_H
#define WEIR_BASE_ERROR_H

/* Keeps a sentence, cut at 511 bytes, for the calling thread. Returns `error`. */
int weir__error_explain(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
