/* SPDX-License-Identifier: MIT */
/* The one way weir stops a process: a line that says where, who and what, then abort(). */
#include "base/assert.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *(*weir__die_task_name)(void);

void weir__die(const char *file, int line, const char *format, ...)
{
    const char *task = weir__die_task_name ? weir__die_task_name() : NULL;
    char message[512];
    va_list args;
    int head_bytes, body_bytes;
    size_t bytes;

    head_bytes = snprintf(message, sizeof message, "weir: %s:%d: [%s] ", file, line,
                          task ? task : "no task");
    if (head_bytes < 0 || (size_t)head_bytes >= sizeof message)
        head_bytes = 0;
    va_start(args, format);
    body_bytes = vsnprintf(message + head_bytes, sizeof message - (size_t)head_bytes, format, args);
    va_end(args);
    bytes = (size_t)head_bytes + (body_bytes > 0 ? (size_t)body_bytes : 0);
    if (bytes >= sizeof message)
        bytes = sizeof message - 1;
    message[bytes] = '\n';
    weir__log_last(message, bytes + 1);
    abort();
}
