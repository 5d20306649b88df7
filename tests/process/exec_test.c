/* SPDX-License-Identifier: MIT */
/* fork and exec by the program itself: the new program inherits nothing of weir's, and a forked
 * child may not use weir. */
#include "fixture.h"

/* All that opens descriptors inside of weir, open. */
struct everything {
    struct weir_scope *scope;
    struct weir_child *child;
    struct weir_chan *signals, *events;
    struct weir_watch *watch;
};

static sigset_t usr1(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return set;
}

static struct everything open_everything(void)
{
    struct everything all = { .scope = make_scope(WEIR_SCOPE_SUPERVISE) };
    struct weir_child_options options = { 0 };
    const sigset_t set = usr1();

    options.input.kind = options.output.kind = options.error.kind = WEIR_CHILD_PIPE;
    all.child = start_shell(all.scope, "exec cat", options);
    CHECK_EQUAL(weir_chan_create(&all.signals, sizeof(struct weir_signal), 1, NULL), 0);
    CHECK_EQUAL(weir_signals_to(all.signals, all.scope, &set), 0);
    CHECK_EQUAL(weir_chan_create(&all.events, sizeof(struct weir_watch_event), 1, NULL), 0);
    CHECK_EQUAL(weir_watch_open(&all.watch, all.events, all.scope), 0);
    CHECK(weir_watch_add(all.watch, "/", IN_CREATE, WEIR_FOREVER) > 0);
    return all;
}

static void close_everything(struct everything *all)
{
    CHECK_EQUAL(weir_watch_close(all->watch), 0);
    weir_child_release(all->child);
    CHECK_EQUAL(weir_scope_join(all->scope, WEIR_NOW), -ETIME);
    CHECK_EQUAL(weir_chan_release(all->signals), 0);
    CHECK_EQUAL(weir_chan_release(all->events), 0);
}

static int wait_for(pid_t pid)
{
    int status = -1;

    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    return status;
}

/* In the child: the number of the first call that did not refuse, or 0. */
static int use_all(struct everything *all)
{
    const char *const argv[] = { "true", NULL };
    struct weir_child_options options = { .argv = argv };
    struct weir_child *child;
    struct weir_watch *watch;
    struct weir_embed *embed;
    struct weir_clause clause = weir_clause_signal(SIGUSR1);
    const sigset_t set = usr1();
    int results[] = {
        weir_child_spawn(&child, all->scope, &options, WEIR_FOREVER),
        weir_child_run(&options, NULL, NULL, WEIR_FOREVER),
        weir_child_wait(all->child, NULL, WEIR_FOREVER),
        weir_child_kill(all->child, SIGKILL),
        weir_signals_to(all->signals, all->scope, &set),
        weir_select(&clause, 1, 0, WEIR_FOREVER),
        weir_watch_open(&watch, all->events, all->scope),
        weir_watch_add(all->watch, "/", IN_CREATE, WEIR_FOREVER),
        weir_watch_remove(all->watch, 1),
        weir_watch_close(all->watch),
        weir_embed_open(&embed, NULL),
    };

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (results[i] != -EOWNERDEAD)
            return (int)i + 1;
    return 0;
}

static int fork_and_exec(void *arg)
{
    struct everything all = open_everything();
    char text[TEXT_BYTES] = "";
    size_t count = 0;
    ssize_t got;
    int output[2];
    pid_t pid;

    (void)arg;
    pid = fork();
    if (pid == 0) {
        close(STDERR_FILENO);
        alarm(20);
        _exit(use_all(&all));
    }
    CHECK_EQUAL(wait_for(pid), 0);
    CHECK_EQUAL(weir_child_wait(all.child, NULL, WEIR_NOW), -EAGAIN); /* as it was */
    CHECK_EQUAL(pipe2(output, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        dup2(output[1], STDOUT_FILENO);
        execl("/bin/ls", "ls", "/proc/self/fd", (char *)NULL);
        _exit(1);
    }
    close(output[1]);
    while ((got = read(output[0], text + count, sizeof text - 1 - count)) > 0)
        count += (size_t)got;
    CHECK_EQUAL(wait_for(pid), 0);
    CHECK(strcmp(text, "0\n1\n2\n3\n") == 0); /* the last one is its own, for the directory */
    close(output[0]);
    close_everything(&all);
    return 0;
}

static void test_a_new_program_inherits_nothing(void **state)
{
    static const struct weir_options masked = {
        .loop_count = 2,
        .without_features = WEIR_FEATURE_SYNC_MSG_RING | WEIR_FEATURE_RING_FD,
    };

    (void)state;
    run_clean(fork_and_exec, &two_loops);
    run_clean(fork_and_exec, &masked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_program_inherits_nothing),
    };
    const sigset_t set = usr1();

    if (weir_signals_block(&set) < 0)
        return 1;
    close_range(3, ~0u, 0); /* what whoever started us left open is not weir's */
    return cmocka_run_group_tests_name("process/exec", tests, NULL, NULL);
}
