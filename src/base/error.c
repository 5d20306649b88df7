/* SPDX-License-Identifier: MIT */
/* What result codes are called, deadlines from durations, the version. */
#include "base/error.h"

#include "base/clock.h"

#include <weir/base.h>
#include <weir/runtime.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_OF(token)                    #token
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

static __thread char last_error[512];

int weir__error_explain(int error, const char *format, ...)
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

const char *weir_error_name(int64_t error)
{
    const char *name;

    if (error > 0)
        return error == WEIR_DROPPED   ? "WEIR_DROPPED"
               : error == WEIR_ALREADY ? "WEIR_ALREADY"
                                       : "OK";
    if (error == 0)
        return "OK";
    name = error > -4096 ? strerrorname_np((int)-error) : NULL;
    return name ? name : "unknown error";
}

bool weir_is_transient(int64_t error)
{
    switch (error) {
    case -ECONNABORTED:
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
    case -EINTR:
    case -EAGAIN:
    /* accept(2): errors already pending on the new connection */
    case -ENETDOWN:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -EOPNOTSUPP:
    case -ENETUNREACH:
    case -EPERM: /* a firewall rule */
        return true;
    default:
        return false;
    }
}

const char *weir_version(void)
{
    return VERSION_TEXT(WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR, WEIR_VERSION_PATCH);
}

int64_t weir_now_ns(void)
{
    return weir__clock_now();
}

static int64_t in_units(int64_t duration, int64_t unit_ns)
{
    int64_t duration_ns;

    if (__builtin_mul_overflow(duration, unit_ns, &duration_ns))
        return duration > 0 ? WEIR_FOREVER : 1;
    return weir__clock_add(weir__clock_now(), duration_ns);
}

int64_t weir_in_ns(int64_t duration_ns)
{
    return in_units(duration_ns, 1);
}

int64_t weir_in_us(int64_t duration_us)
{
    return in_units(duration_us, 1000);
}

int64_t weir_in_ms(int64_t duration_ms)
{
    return in_units(duration_ms, 1000000);
}

int64_t weir_in_seconds(int64_t duration_s)
{
    return in_units(duration_s, 1000000000);
}
