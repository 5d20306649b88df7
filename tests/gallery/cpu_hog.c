/* SPDX-License-Identifier: MIT */
/* A computation without a pause. Repaired: on the CPU pool. */
#include "gallery.h"

const char gallery_awaits[] = "is hogged";

__attribute__((noinline)) static unsigned mix(unsigned value)
{
    for (int i = 0; i < 1000; i++)
        value = value * 1664525 + 1013904223;
    return value;
}

int wrong(void *arg)
{
    unsigned value = 1;

    (void)arg;
    while (!gallery_is_reported())
        value = mix(value);
    return value == 0;
}

static int compute(void *arg)
{
    unsigned *value = arg;

    for (int i = 0; i < 1000; i++)
        *value = mix(*value);
    return 0;
}

int repaired(void *arg)
{
    unsigned value = 1;

    (void)arg;
    return weir_cpu_run(compute, &value, WEIR_FOREVER);
}
