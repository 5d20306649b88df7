/* SPDX-License-Identifier: MIT */
/* The last error in words; see explain.h. */
#include "base/explain.h"

#include <weir/runtime.h>

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_BYTES = 512 };

static __thread char last_error[TEXT_BYTES];

int weir__explain(int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    return error;
}

const char *weir_last_error(void)
{
    return last_error;
}
