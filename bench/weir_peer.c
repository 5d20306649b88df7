/* SPDX-License-Identifier: MIT */
/* How weir's contenders start their runtime. */
#include "weir_peer.h"

#include "machine.h"
#include "trial.h"

#include <sys/wait.h>
#include <unistd.h>

enum { REPORT_LIMIT_S = 5 };

struct weir_options weir_peer_options(void)
{
    return (struct weir_options){
        .size = sizeof(struct weir_options),
        .loop_count = 1,
        .pin_loops = true,
        .spin_max_ns = -1,
    };
}

void weir_peer_run(weir_task_fn *root, void *arg, const struct weir_options *options)
{
    int result = weir_run(root, arg, options);

    if (result < 0)
        trial_fail("weir_run: %s %s", weir_error_name(result), weir_last_error());
}

static int print_report(void *out)
{
    struct weir_report report;
    int error = weir_runtime_report(&report);

    if (error >= 0)
        fprintf(out, "  weir     %s\n", report.text);
    return error;
}

/* In a process of its own: the bench's stays without threads and rings. */
void weir_peer_print(FILE *out)
{
    struct weir_options options = weir_peer_options();
    pid_t child;

    fflush(out);
    child = trial_fork(REPORT_LIMIT_S);
    if (child == 0) {
        weir_run(print_report, out, &options);
        fflush(out);
        _exit(0);
    }
    if (child > 0)
        waitpid(child, NULL, 0);
}

const char *weir_peer_why_not(const struct bench *bench)
{
    (void)bench;
    return machine_ring_reason();
}
