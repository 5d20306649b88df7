/* SPDX-License-Identifier: MIT */
/* A library that is loaded while the program runs, and blocks; see blocking_check_test.c. */
#include <unistd.h>

int late_nap(void);
int late_call(int (*body)(void));

int late_nap(void)
{
    int result = usleep(1);

    __asm__ volatile("nop" ::: "memory"); /* the call is not the last thing it does */
    return result;
}

int late_call(int (*body)(void))
{
    int result = body();

    __asm__ volatile("nop" ::: "memory");
    return result;
}
