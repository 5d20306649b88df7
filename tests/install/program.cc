/* SPDX-License-Identifier: MIT */
#include "program.h"

static int root(void *arg)
{
    *static_cast<int *>(arg) = comes_from("malloc", "libc.so") && comes_from("free", "libc.so") &&
                               comes_from("_Znwm", "libstdc++.so");
    return 0;
}

int main()
{
    int *task_ran = new int(0);
    int result = weir_run(root, task_ran, nullptr);
    int status = status_of(result, *task_ran);

    delete task_ran;
    return status;
}
