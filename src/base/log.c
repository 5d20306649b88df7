/* SPDX-License-Identifier: MIT */
/* Lines on standard error; see log.h. */
#include "base/log.h"

#include "base/exempt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LAST_WAIT_MS = 1000, NOTICE_BYTES = 160 };

/* relaxed, all of them: figures, nothing else is ordered by them */
static _Atomic uint64_t dropped_count;
static _Atomic uint64_t untold_count; /* of these, not yet said */

static bool has_room(int wait_ms)
{
    struct pollfd wanted = { .fd = STDERR_FILENO, .events = POLLOUT };

    return poll(&wanted, 1, wait_ms) > 0;
}

static ssize_t write_to_terminal(const char *text, size_t bytes)
{
    int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t count;

    if (fd < 0)
        return has_room(0) ? write(STDERR_FILENO, text, bytes) : -1;
    count = write(fd, text, bytes);
    close(fd);
    return count;
}

/* What a pipe takes whole or not at all; whole lines, if they are no longer than that. */
static size_t first_part(const char *text, size_t bytes)
{
    const char *end = bytes > PIPE_BUF ? memrchr(text, '\n', PIPE_BUF) : NULL;

    if (end)
        return (size_t)(end + 1 - text);
    return bytes > PIPE_BUF ? PIPE_BUF : bytes;
}

/* Returns how many bytes of the first part were written; below 1: there is no room. */
static ssize_t write_now(const char *text, size_t bytes)
{
    struct iovec vector = {
        .iov_base = (void *)(uintptr_t)text,
        .iov_len = first_part(text, bytes),
    };
    struct stat target;
    ssize_t count;

    if (fstat(STDERR_FILENO, &target) != 0)
        return -1;
    if (S_ISREG(target.st_mode))
        return write(STDERR_FILENO, text, vector.iov_len);
    count = pwritev2(STDERR_FILENO, &vector, 1, -1, RWF_NOWAIT);
    if (count >= 0 || errno != EOPNOTSUPP)
        return count;
    if (S_ISCHR(target.st_mode))
        return write_to_terminal(text, vector.iov_len);
    return has_room(0) ? write(STDERR_FILENO, text, vector.iov_len) : -1;
}

static uint64_t count_lines(const char *text)
{
    uint64_t count = 0;

    while ((text = strchr(text, '\n'))) {
        text++;
        count++;
    }
    return count;
}

/* Returns what did not fit. */
static const char *put(const char *text)
{
    size_t bytes = strlen(text);
    ssize_t count;

    while (bytes > 0 && (count = write_now(text, bytes)) > 0) {
        text += count;
        bytes -= (size_t)count;
    }
    return text;
}

/* False: neither would anything else fit. */
static bool tell_dropped(void)
{
    uint64_t count = atomic_exchange_explicit(&untold_count, 0, memory_order_relaxed);
    char notice[NOTICE_BYTES];

    if (!count)
        return true;
    snprintf(notice, sizeof notice,
             "weir: %llu lines of reports are missing here: standard error was full, and nobody "
             "read it\n",
             (unsigned long long)count);
    if (!*put(notice))
        return true;
    atomic_fetch_add_explicit(&untold_count, count, memory_order_relaxed);
    return false;
}

bool weir__log_text(const char *text)
{
    uint64_t count;

    weir__exempt_open();
    if (tell_dropped())
        text = put(text);
    weir__exempt_shut();
    count = count_lines(text);
    atomic_fetch_add_explicit(&dropped_count, count, memory_order_relaxed);
    atomic_fetch_add_explicit(&untold_count, count, memory_order_relaxed);
    return count == 0;
}

void weir__log_line(const char *format, ...)
{
    char line[WEIR__LOG_LINE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    strcat(line, "\n");
    weir__log_text(line);
}

void weir__log_last(const char *text, size_t bytes)
{
    ssize_t count;

    weir__exempt_open();
    while (bytes > 0 && has_room(LAST_WAIT_MS) && (count = write_now(text, bytes)) > 0) {
        text += count;
        bytes -= (size_t)count;
    }
}

uint64_t weir__log_dropped(void)
{
    return atomic_load_explicit(&dropped_count, memory_order_relaxed);
}
