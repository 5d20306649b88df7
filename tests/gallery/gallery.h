/* SPDX-License-Identifier: MIT */
/*
 * The gallery: one small program for each way to hold up a server, as it is done wrong and as it is
 * repaired. What is reported goes to standard output, and lets the wrong one go on: `gallery_hold`.
 */
#ifndef WEIR_TESTS_GALLERY_H
#define WEIR_TESTS_GALLERY_H

#include <weir.h>

/* Each program defines both, for one runtime each; they return 0. */
int wrong(void *arg);
int repaired(void *arg);

/* What each program sets beside the detectors, which gallery.c turns on. */
void gallery_options(struct weir_options *options);

/* The words of the report that lets the wrong one go on; by default any. */
extern const char gallery_awaits[];

/* Whether that was reported. Any thread. */
bool gallery_is_reported(void);

/* A descriptor that has a byte to read once that was reported. */
int gallery_descriptor(void);

/* Parks until that was reported. */
int gallery_await(void);

/* Notes that something was reported, and prints it. Any thread. */
void gallery_report(const char *text);

#endif
