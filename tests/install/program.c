/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "program.h"

static int root(void *arg)
{
    *(int *)arg = comes_from("malloc", "libc.so") && comes_from("free", "libc.so");
    return 0;
}

int main(void)
{
    int task_ran = 0;
    int result = weir_run(root, &task_ran, NULL);

    return status_of(result, task_ran);
}
