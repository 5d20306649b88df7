/* SPDX-License-Identifier: MIT */
/*
 * Standard error, for all that weir says there. Nobody waits for whoever reads it: what does not
 * fit now is dropped and counted, and the next lines that fit are preceded by one that says how
 * many are missing. Any thread.
 *
 *   a file        takes everything
 *   a pipe, socket   up to 4 KiB or nothing, at once: RWF_NOWAIT, Linux 6.4; before, poll(2) says
 *                 whether there is room, and only another writer between the two can make us wait
 *   a terminal    what it has room for: opened anew as non-blocking, since a flag set on
 *                 descriptor 2 itself would change it for all who share it; where it may not be
 *                 opened, as an older pipe
 */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WEIR__LOG_LINE_BYTES = 1024 };

/* One line, its end excluded; cut at WEIR__LOG_LINE_BYTES. */
void weir__log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whole lines, with their ends. Returns whether all of them were written. */
bool weir__log_text(const char *text);

/* Before the process is aborted: waits a second for room. Async-signal-safe, and opens the gate of
 * the blocking-call check for good. */
void weir__log_last(const char *text, size_t bytes);

/* Lines dropped since the process began. */
uint64_t weir__log_dropped(void);

#endif
